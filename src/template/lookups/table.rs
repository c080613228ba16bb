//! Every lookup that ansible-core has, and what became of it: the checks of playbooks and `docs/lookups.md` come from here.

/// A lookup.
#[derive(Debug)]
pub struct Lookup {
    pub name: &'static str,
    /// The collection that has it, where ansible-core has not.
    pub collection: Option<&'static str>,
    /// What it gives, and for which terms.
    pub documentation: &'static str,
    pub options: &'static [&'static str],
    pub support: Support,
}

/// What became of a lookup.
#[derive(Debug)]
pub enum Support {
    Yes,
    /// Refused before a run.
    No {
        reason: &'static str,
        instead: &'static str,
    },
}

const fn lookup(name: &'static str, options: &'static [&'static str], documentation: &'static str) -> Lookup {
    Lookup { name, collection: None, documentation, options, support: Support::Yes }
}

const fn of(collection: &'static str, lookup: Lookup) -> Lookup {
    Lookup { collection: Some(collection), ..lookup }
}

/// In the order of their names.
pub const LOOKUPS: &[Lookup] = &[
    of("community.general", lookup("cartesian", &[], "Every choice of one item from each list.")),
    Lookup {
        support: Support::No {
            reason: "it reads ansible-core's own settings, which this program has not",
            instead: "set a variable to what the setting is to be, in the inventory or with `-e`",
        },
        ..lookup("config", &[], "Settings of ansible-core.")
    },
    lookup(
        "csvfile",
        &["col", "default", "delimiter", "encoding", "file", "keycol"],
        "Of the first row of a table in `files/` whose column `keycol` is the term: its column `col`.",
    ),
    lookup("dict", &[], "The entries of mappings, each with `key` and `value`."),
    lookup("env", &["default"], "Variables of the environment that this program was started with."),
    lookup("file", &["lstrip", "rstrip"], "What files in `files/` hold."),
    lookup("fileglob", &[], "Paths of the files in `files/` that match patterns."),
    lookup("first_found", &["files", "paths", "skip"], "The path of the first of the files that is there."),
    of("community.general", lookup("flattened", &[], "Lists as one, those inside of them too.")),
    lookup("indexed_items", &[], "Items, each after its number."),
    lookup(
        "ini",
        &["allow_no_value", "case_sensitive", "default", "encoding", "file", "interpolation", "re", "section", "type"],
        "Values of keys in an INI or properties file in `files/`.",
    ),
    lookup("inventory_hostnames", &[], "The inventory's hosts that match patterns: `all:!web`."),
    lookup("items", &[], "Items; of a list among them its items."),
    lookup("lines", &[], "Lines that commands print on the controller."),
    lookup("list", &[], "The terms as they are."),
    lookup("nested", &[], "Every choice of one item from each list."),
    lookup(
        "password",
        &["chars", "encrypt", "ident", "length", "seed"],
        "The password in a file on the controller, which is made with the first one that is asked for. A plan or `--check` leaves no file.",
    ),
    lookup("pipe", &[], "What commands print on the controller."),
    lookup("random_choice", &[], "One of the terms."),
    lookup("sequence", &["count", "end", "format", "start", "stride"], "Numbers as texts: `1-10/2:node%02d`."),
    lookup("subelements", &[], "Each of a list's mappings with each item of a list that it has."),
    lookup("template", &["template_vars"], "What template files in `templates/` give."),
    lookup("together", &[], "The first items of all lists, then the second ones, and so on."),
    lookup("unvault", &[], "What files in `files/` hold, opened where they are encrypted."),
    Lookup {
        support: Support::No {
            reason: "no plan can tell what another machine will answer in mid-run",
            instead: "ask in a task, `uri: {url: …, return_content: true}` with `delegate_to: localhost`, and `register` the answer",
        },
        ..lookup("url", &[], "What is at URLs.")
    },
    lookup("varnames", &[], "Names of variables that match patterns."),
    lookup("vars", &["default"], "Variables of these names."),
];

/// The lookup, by its short name.
pub fn find(name: &str) -> Option<&'static Lookup> {
    LOOKUPS.iter().find(|lookup| lookup.name == name)
}

/// Names of those that are there.
pub fn names() -> impl Iterator<Item = &'static str> {
    LOOKUPS.iter().filter(|lookup| matches!(lookup.support, Support::Yes)).map(|lookup| lookup.name)
}
