//! The program in a pod's first container: it holds the pod's namespaces, reaps what ends in them, and ends on TERM or INT.
//!
//! As an image it must run without any file beside it, on every node, and stay the same bytes over versions of `provision`, or
//! each upgrade would import it anew on each node. So it is some 30 instructions, written here with their assembler beside them (a
//! test assembles that text and compares), in the smallest ELF file that the kernel loads.
//!
//! ```text
//! rt_sigprocmask(SIG_BLOCK, {INT, TERM, CHLD})        a process 1 gets no signal that it has no handler for: wait for them
//! again: signal = rt_sigtimedwait({INT, TERM, CHLD})
//! if signal == CHLD: while wait4(-1, WNOHANG) > 0 {}; goto again
//! if signal < 0: goto again                           interrupted
//! exit(0)
//! ```

use super::manifest::Architecture;

/// Bits of INT (2), TERM (15) and CHLD (17), less one each: `0x14002`.
#[cfg(test)]
pub(super) const AMD64_TEXT: &str = "
    pushq $0x14002
    movq %rsp, %rsi
    xorl %edi, %edi
    xorl %edx, %edx
    movl $8, %r10d
    movl $14, %eax
    syscall
again:
    movq %rsp, %rdi
    xorl %esi, %esi
    xorl %edx, %edx
    movl $8, %r10d
    movl $128, %eax
    syscall
    cmpl $17, %eax
    je reap
    testl %eax, %eax
    js again
    xorl %edi, %edi
    movl $60, %eax
    syscall
reap:
    movq $-1, %rdi
    xorl %esi, %esi
    movl $1, %edx
    xorl %r10d, %r10d
    movl $61, %eax
    syscall
    testl %eax, %eax
    jg reap
    jmp again
";

#[rustfmt::skip]
const AMD64: &[u8] = &[
    0x68, 0x02, 0x40, 0x01, 0x00, 0x48, 0x89, 0xe6, 0x31, 0xff, 0x31, 0xd2, 0x41, 0xba, 0x08, 0x00, 0x00, 0x00, 0xb8, 0x0e, 0x00, 0x00, 0x00, 0x0f,
    0x05, 0x48, 0x89, 0xe7, 0x31, 0xf6, 0x31, 0xd2, 0x41, 0xba, 0x08, 0x00, 0x00, 0x00, 0xb8, 0x80, 0x00, 0x00, 0x00, 0x0f, 0x05, 0x83, 0xf8, 0x11,
    0x74, 0x0d, 0x85, 0xc0, 0x78, 0xe3, 0x31, 0xff, 0xb8, 0x3c, 0x00, 0x00, 0x00, 0x0f, 0x05, 0x48, 0xc7, 0xc7, 0xff, 0xff, 0xff, 0xff, 0x31, 0xf6,
    0xba, 0x01, 0x00, 0x00, 0x00, 0x45, 0x31, 0xd2, 0xb8, 0x3d, 0x00, 0x00, 0x00, 0x0f, 0x05, 0x85, 0xc0, 0x7f, 0xe4, 0xeb, 0xbc,
];

/// The same for aarch64, whose system calls have other numbers.
#[cfg(test)]
pub(super) const ARM64_TEXT: &str = "
    mov x9, #0x4002
    movk x9, #0x1, lsl #16
    str x9, [sp, #-16]!
    mov x0, #0
    mov x1, sp
    mov x2, #0
    mov x3, #8
    mov x8, #135
    svc #0
again:
    mov x0, sp
    mov x1, #0
    mov x2, #0
    mov x3, #8
    mov x8, #137
    svc #0
    cmp w0, #17
    b.eq reap
    tbnz w0, #31, again
    mov x0, #0
    mov x8, #93
    svc #0
reap:
    mov x0, #-1
    mov x1, #0
    mov x2, #1
    mov x3, #0
    mov x8, #260
    svc #0
    cmp w0, #0
    b.gt reap
    b again
";

#[rustfmt::skip]
const ARM64: &[u32] = &[
    0xd288_0049, 0xf2a0_0029, 0xf81f_0fe9, 0xd280_0000, 0x9100_03e1, 0xd280_0002, 0xd280_0103, 0xd280_10e8, 0xd400_0001, 0x9100_03e0,
    0xd280_0001, 0xd280_0002, 0xd280_0103, 0xd280_1128, 0xd400_0001, 0x7100_441f, 0x5400_00a0, 0x37ff_ff00, 0xd280_0000, 0xd280_0ba8,
    0xd400_0001, 0x9280_0000, 0xd280_0001, 0xd280_0022, 0xd280_0003, 0xd280_2088, 0xd400_0001, 0x7100_001f, 0x54ff_ff2c, 0x17ff_ffec,
];

/// Where the file is loaded; any address of the lower half will do.
const BASE: u64 = 0x40_0000;
/// The ELF header, and two program headers (elf(5)).
const HEADERS: u64 = 64 + 2 * 56;

/// The program as a static ELF file.
pub(super) fn program(architecture: Architecture) -> Vec<u8> {
    let (machine, code): (u16, Vec<u8>) = match architecture {
        Architecture::Amd64 => (62, AMD64.to_vec()),
        Architecture::Arm64 => (183, ARM64.iter().flat_map(|word| word.to_le_bytes()).collect()),
    };
    let size = HEADERS + code.len() as u64;
    let mut file = Vec::new();
    // 64 bit, little endian, version 1, System V.
    file.extend_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    for half in [2, machine] {
        file.extend_from_slice(&half.to_le_bytes()); // ET_EXEC
    }
    file.extend_from_slice(&1_u32.to_le_bytes());
    for word in [BASE + HEADERS, 64, 0] {
        file.extend_from_slice(&word.to_le_bytes()); // entry, program headers, no sections
    }
    file.extend_from_slice(&0_u32.to_le_bytes());
    for half in [64_u16, 56, 2, 64, 0, 0] {
        file.extend_from_slice(&half.to_le_bytes());
    }
    // PT_LOAD, read and execute; PT_GNU_STACK, read and write. The alignment is the largest page of either architecture.
    for (kind, flags, words) in [(1_u32, 5_u32, [0, BASE, BASE, size, size, 0x1_0000]), (0x6474_e551, 6, [0, 0, 0, 0, 0, 16])] {
        file.extend_from_slice(&kind.to_le_bytes());
        file.extend_from_slice(&flags.to_le_bytes());
        for word in words as [u64; 6] {
            file.extend_from_slice(&word.to_le_bytes());
        }
    }
    file.extend_from_slice(&code);
    file
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    use super::*;

    /// The assembler that a C compiler brings; another architecture's only where it is installed.
    fn assembled(program: &str, text: &str) -> Option<Vec<u8>> {
        let folder = tempfile::tempdir().expect("a folder");
        let (object, bytes) = (folder.path().join("o"), folder.path().join("b"));
        let mut child = Command::new(format!("{program}as")).arg("-o").arg(&object).stdin(Stdio::piped()).spawn().ok()?;
        child.stdin.take().expect("it is piped").write_all(text.as_bytes()).expect("it reads");
        assert!(child.wait().expect("it ends").success());
        let copied = Command::new(format!("{program}objcopy")).args(["-O", "binary", "-j", ".text"]).arg(&object).arg(&bytes).status();
        assert!(copied.expect("objcopy comes with as").success());
        Some(std::fs::read(bytes).expect("it was written"))
    }

    #[test]
    fn the_instructions_are_those_of_the_assembler_text() {
        let (own, other) = if cfg!(target_arch = "x86_64") { ("", "aarch64-linux-gnu-") } else { ("x86_64-linux-gnu-", "") };
        let arm64: Vec<u8> = ARM64.iter().flat_map(|word| word.to_le_bytes()).collect();
        let mut compared = 0;
        for (found, bytes) in [(assembled(own, AMD64_TEXT), AMD64), (assembled(other, ARM64_TEXT), &arm64)] {
            if let Some(found) = found {
                // The section is padded to words.
                assert_eq!(&found[..bytes.len()], bytes);
                assert!(found[bytes.len()..].iter().all(|byte| *byte == 0));
                compared += 1;
            }
        }
        assert!(compared > 0, "there is no `as` on this machine");
    }

    fn state(pid: i32) -> Option<char> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat[stat.rfind(')')? + 2..].chars().next()
    }

    fn until(what: &str, mut holds: impl FnMut() -> bool) {
        let since = Instant::now();
        while !holds() {
            assert!(since.elapsed() < Duration::from_secs(10), "waited in vain until {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn it_waits_reaps_its_children_and_ends_on_term() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pause");
        std::fs::write(&path, program(Architecture::of_this_machine().expect("one of ours"))).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("ours");
        // A shell that has a child and becomes the program: the child is its own then.
        let mut shell = Command::new("sh");
        shell.args(["-c", "sleep 0.3 & echo $!; exec \"$0\""]).arg(&path).stdout(Stdio::piped());
        let mut child = shell.spawn().expect("it starts");
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().expect("piped")), &mut line).expect("a line");
        let (own, sleeping) = (child.id().cast_signed(), line.trim().parse::<i32>().expect("a pid"));
        until("it is the program", || std::fs::read_link(format!("/proc/{own}/exe")).is_ok_and(|exe| exe == path));
        until("its child is reaped", || state(sleeping).is_none());
        assert!(state(own).is_some_and(|state| state == 'S'), "it sleeps");
        kill(Pid::from_raw(own), Signal::SIGTERM).expect("it is there");
        assert!(child.wait().expect("it ends").success());
    }
}
