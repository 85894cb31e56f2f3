//! The rules of `deny.toml`, checked offline with nothing but cargo: every package this platform
//! builds has an allowed licence, comes from the registry, and is not banned.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

use serde_json::Value;

fn metadata() -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    let version = Command::new(env!("CARGO")).arg("-vV").output().expect("cargo runs");
    let version = String::from_utf8(version.stdout).expect("text");
    let host = version.lines().find_map(|l| l.strip_prefix("host: ")).expect("a host line");
    let metadata = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version=1",
            "--offline",
            "--locked",
            "--filter-platform",
            host,
        ])
        .current_dir(root)
        .output()
        .expect("cargo metadata runs");
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    serde_json::from_slice(&metadata.stdout).expect("JSON")
}

/// The packages that each package depends on, by id, but for what only its tests need.
fn graph(metadata: &Value) -> BTreeMap<&str, BTreeSet<&str>> {
    let nodes = metadata["resolve"]["nodes"].as_array().expect("nodes");
    let mut graph = BTreeMap::new();
    for node in nodes {
        let mut needed = BTreeSet::new();
        for dep in node["deps"].as_array().expect("dependencies") {
            let kinds = dep["dep_kinds"].as_array().expect("kinds");
            if kinds.iter().any(|kind| kind["kind"] != "dev") {
                needed.insert(dep["pkg"].as_str().expect("an id"));
            }
        }
        graph.insert(node["id"].as_str().expect("an id"), needed);
    }
    graph
}

/// Names of packages by id.
fn names(metadata: &Value) -> BTreeMap<&str, &str> {
    let packages = metadata["packages"].as_array().expect("packages");
    let named =
        packages.iter().map(|package| Some((package["id"].as_str()?, package["name"].as_str()?)));
    named.collect::<Option<_>>().expect("ids and names")
}

fn deny() -> toml::Table {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deny.toml");
    std::fs::read_to_string(path).expect("deny.toml").parse().expect("TOML")
}

/// Whether an SPDX expression can be met with `allowed` alone: any side of an OR, all of an AND.
fn is_met(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut tokens = Vec::<String>::new();
    let mut words = spaced.split_whitespace();
    while let Some(word) = words.next() {
        if word == "WITH" {
            let exception = words.next().expect("an exception after WITH");
            let last = tokens.last_mut().expect("a licence before WITH");
            *last = format!("{last} WITH {exception}");
        } else {
            tokens.push(word.to_owned());
        }
    }
    let mut at = 0;
    let met = any_of(&tokens, &mut at, allowed);
    assert_eq!(at, tokens.len(), "cannot read the licence “{expression}”");
    met
}

fn any_of(tokens: &[String], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut met = all_of(tokens, at, allowed);
    while tokens.get(*at).is_some_and(|t| t == "OR") {
        *at += 1;
        met |= all_of(tokens, at, allowed);
    }
    met
}

fn all_of(tokens: &[String], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut met = one(tokens, at, allowed);
    while tokens.get(*at).is_some_and(|t| t == "AND") {
        *at += 1;
        met &= one(tokens, at, allowed);
    }
    met
}

fn one(tokens: &[String], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let token = tokens.get(*at).expect("a licence");
    *at += 1;
    if token == "(" {
        let met = any_of(tokens, at, allowed);
        assert_eq!(tokens.get(*at).map(String::as_str), Some(")"));
        *at += 1;
        return met;
    }
    allowed.contains(token)
}

#[test]
fn expressions_are_read_as_spdx_means_them() {
    let allowed: BTreeSet<String> = ["MIT", "Zlib"].map(String::from).into();
    assert!(is_met("MIT OR GPL-3.0", &allowed));
    assert!(is_met("GPL-3.0/MIT", &allowed));
    assert!(is_met("(GPL-3.0 OR MIT) AND Zlib", &allowed));
    assert!(!is_met("MIT AND GPL-3.0", &allowed));
    assert!(!is_met("Apache-2.0 WITH LLVM-exception", &allowed));
}

/// What is banned, each with the packages that may depend on it all the same.
fn banned(deny: &toml::Table) -> BTreeMap<&str, BTreeSet<&str>> {
    let bans = deny["bans"]["deny"].as_array().expect("a list").iter();
    bans.map(|ban| {
        let wrappers = ban.get("wrappers").and_then(|list| list.as_array());
        let wrappers = wrappers.into_iter().flatten().map(|name| name.as_str().expect("a name"));
        (ban["name"].as_str().expect("a name"), wrappers.collect())
    })
    .collect()
}

#[test]
fn only_the_room_of_remote_workers_waits_for_the_network() {
    let (deny, metadata) = (deny(), metadata());
    let (banned, names) = (banned(&deny), names(&metadata));
    assert!(["tokio", "quinn"].iter().all(|name| banned.contains_key(name)));
    let mut wrong = Vec::new();
    for (id, needed) in graph(&metadata) {
        for name in needed.iter().map(|id| names[id]) {
            if banned.get(name).is_some_and(|wrappers| !wrappers.contains(names[id])) {
                wrong.push(format!("{} depends on {name}", names[id]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_spare_computer_needs_neither_window_nor_sound() {
    let metadata = metadata();
    let (graph, names) = (graph(&metadata), names(&metadata));
    let reach = |root: &str| {
        let mut next: Vec<&str> =
            names.iter().filter(|(_, name)| **name == root).map(|(id, _)| *id).collect();
        assert_eq!(next.len(), 1, "{root} is in the workspace");
        let mut reached = BTreeSet::new();
        while let Some(id) = next.pop() {
            if reached.insert(id) {
                next.extend(&graph[id]);
            }
        }
        reached.into_iter().map(|id| names[id]).collect::<BTreeSet<_>>()
    };
    let (app, worker) = (reach("stemhive"), reach("stemhive-worker"));
    assert!(worker.contains("engine") && worker.contains("quinn"));
    for name in ["egui", "eframe", "cpal", "rodio", "rfd"] {
        assert!(app.contains(name), "the window needs {name}: is this list still right?");
        assert!(!worker.contains(name), "the worker needs {name}");
    }
}

#[test]
fn every_dependency_has_an_allowed_licence_and_source() {
    let deny = deny();
    let allowed: BTreeSet<String> = deny["licenses"]["allow"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|l| l.as_str().expect("text").to_owned())
        .collect();
    let metadata = metadata();
    let banned = banned(&deny);
    let clarified: BTreeMap<&str, &str> = deny["licenses"]["clarify"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|c| (c["crate"].as_str().expect("a name"), c["expression"].as_str().expect("text")))
        .collect();
    let mut wrong = Vec::new();
    let mut symphonia_cores = 0;
    for package in metadata["packages"].as_array().expect("packages") {
        let name = package["name"].as_str().expect("a name");
        symphonia_cores += usize::from(name == "symphonia-core");
        match clarified.get(name).copied().or(package["license"].as_str()) {
            Some(licence) if is_met(licence, &allowed) => {}
            licence => wrong.push(format!("{name}: licence {licence:?}")),
        }
        let ours = package["source"].is_null();
        if !ours && !package["source"].as_str().is_some_and(|s| s.starts_with("registry+")) {
            wrong.push(format!("{name}: comes from {}", package["source"]));
        }
        if banned.get(name).is_some_and(BTreeSet::is_empty) {
            wrong.push(format!("{name}: banned"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(symphonia_cores, 1, "exactly one Symphonia");
}
