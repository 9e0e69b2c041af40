//! The blocks of the page, and that none of them is left unchecked.

use std::fs;

use crate::page;
use crate::root;
use crate::shell::Shell;

/// A fenced block.
pub(crate) struct Block {
    pub(crate) line: usize,
    pub(crate) language: String,
    pub(crate) text: String,
}

pub(crate) fn blocks() -> Vec<Block> {
    let (mut blocks, mut open) = (Vec::new(), None::<Block>);
    for (number, line) in page().lines().enumerate() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(language), None) => {
                let language = language.to_owned();
                open = Some(Block { line: number + 1, language, text: String::new() });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => block.text.extend([line, "\n"]),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "the last block has no end");
    blocks
}

#[test]
fn every_block_is_of_a_kind_that_is_checked() {
    for Block { line, language, .. } in blocks() {
        // Run as a transcript; parsed in `commands`; loaded below; parsed by `promtool`'s like.
        let known = ["console", "sh", "toml", "promql"].contains(&language.as_str());
        assert!(known, "deploy/README.md:{line}: nothing checks `{language}`");
    }
}

#[test]
fn every_link_leads_to_a_file() {
    let page = page();
    let links = page.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    let mut count = 0;
    for (link, _) in links.filter(|(link, _)| !link.starts_with("http")) {
        let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
        let path = root().join("deploy").join(file);
        assert!(path.exists(), "{link}");
        if file.is_empty() {
            assert!(anchors(&page).any(|known| known == anchor), "no heading `#{anchor}`");
        }
        count += 1;
    }
    assert!(count > 3);
}

/// As the forges make them of headings.
fn anchors(page: &str) -> impl Iterator<Item = String> {
    page.lines().filter(|line| line.starts_with('#')).map(|line| {
        let text = line.trim_start_matches('#').trim().to_lowercase();
        let kept = text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    })
}

/// What the page says of `keygate.toml`, each within the preset that it begins with.
pub(crate) fn configurations() -> Vec<String> {
    let preset = fs::read_to_string(root().join("deploy/presets/minimal/keygate.toml")).unwrap();
    let shown = blocks().into_iter().filter(|block| block.language == "toml");
    shown.map(|block| merged(&preset, &block.text)).collect()
}

#[test]
fn every_configuration_on_the_page_is_taken() {
    let mut shell = Shell::new();
    shell.done("keygate init --preset minimal --self-signed gate >init.log && cd gate");
    shell.done("keygate tokens keygen --out tokens.pem >keygen.log && touch revoked.txt");
    let configurations = configurations();
    assert!(!configurations.is_empty());
    for text in configurations {
        fs::write(shell.path("gate/keygate.toml"), &text).unwrap();
        let output = shell.run("keygate check");
        assert_eq!(output.status, 0, "{}\n{text}", output.text);
    }
}

/// The preset with the members of a block in their sections, instead of those that it has.
fn merged(preset: &str, block: &str) -> String {
    let mut text = preset.to_owned();
    for section in block.split_inclusive('\n').fold(Vec::<String>::new(), |mut sections, line| {
        match sections.last_mut() {
            Some(section) if !line.starts_with('[') => section.push_str(line),
            _ => sections.push(line.to_owned()),
        }
        sections
    }) {
        let (head, members) = section.split_once('\n').unwrap();
        let Some(at) = text.find(&format!("\n{head}\n")).filter(|_| head.starts_with('[')) else {
            // Members before any section come first of all.
            text = if head.starts_with('[') { text + &section } else { section + &text };
            continue;
        };
        let after = at + head.len() + 2;
        let (before, rest) = text.split_at(after);
        let end = rest.find("\n[").unwrap_or(rest.len());
        let (own, others) = rest.split_at(end);
        let name = |line: &str| line.split_once(" =").map(|(name, _)| name.trim().to_owned());
        let given: Vec<_> = members.lines().filter_map(name).collect();
        let kept = own.lines().filter(|line| name(line).is_none_or(|name| !given.contains(&name)));
        let kept: Vec<_> = kept.collect();
        text = format!("{before}{members}{}\n{others}", kept.join("\n"));
    }
    text
}
