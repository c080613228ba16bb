//! Lines of fstab(5), changed where they differ and else left as they are.

/// A mount as its line says it.
pub struct Line<'mount> {
    pub src: &'mount str,
    pub path: &'mount str,
    pub fstype: &'mount str,
    pub opts: &'mount str,
    pub dump: &'mount str,
    pub passno: &'mount str,
}

impl Line<'_> {
    /// The file with this mount in it; `None`: it is there.
    pub fn set(&self, former: &str) -> Option<String> {
        let wanted = [self.src, self.path, self.fstype, self.opts, self.dump, self.passno].map(escaped);
        let line = format!("{}\n", wanted.join(" "));
        let (mut text, mut found, mut changed) = (String::new(), false, false);
        for old in former.lines() {
            let fields: Vec<&str> = old.split('#').next().unwrap_or_default().split_whitespace().collect();
            let is_it = !is_remark(old) && (4..=6).contains(&fields.len()) && is_of(&fields, self.path, Some(self.src));
            // Each difference counts, and so does a number that is not written.
            changed |= is_it && fields != wanted;
            found |= is_it;
            text.push_str(if is_it && changed { line.trim_end() } else { old });
            text.push('\n');
        }
        if !found {
            text.push_str(&line);
        }
        (changed || !found).then_some(text)
    }
}

/// The file without the mount; `None`: it is not there. As with Ansible only a line of all six fields is one.
pub fn unset(former: &str, path: &str, src: Option<&str>) -> Option<String> {
    let is_it = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        !is_remark(line) && fields.len() == 6 && is_of(&fields, path, src)
    };
    let former = former.replace("\r\n", "\n");
    let kept: String = former.split_inclusive('\n').filter(|line| !is_it(line)).collect();
    (kept != former).then_some(kept)
}

fn is_remark(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}

/// By its mount point; swap has none, and is known by its source.
fn is_of(fields: &[&str], path: &str, src: Option<&str>) -> bool {
    fields[1] == escaped(path) && !(fields[1] == "none" && fields[2] == "swap" && src.is_some_and(|src| fields[0] != src))
}

fn escaped(field: &str) -> String {
    field.replace('\\', "\\134").replace(' ', "\\040").replace('&', "\\046")
}
