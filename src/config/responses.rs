//! `[responses]`: what strangers are told.

use http::StatusCode;

use super::reading::choice;
use crate::gate::AnswerOverride;
use crate::gate::Answers;
use crate::gate::Credentials;
use crate::gate::Denial;
use crate::gate::Format;
use crate::source::At;
use crate::source::Section;
use crate::source::Table;

pub(super) fn read(root: &mut Section<'_, '_>, credentials: &Credentials) -> Answers {
    let table = root.table("responses").unwrap_or_else(|| root.empty_table());
    let mut section = root.enter("[responses]", table);
    let formats = [("problem", Format::Problem), ("text", Format::Text), ("json", Format::Json)];
    let format = choice(&mut section, "format", &formats).unwrap_or_default();
    let disclose = section.bool("disclose").is_some_and(|at| at.value);
    let mut overrides = Vec::new();
    for denial in Denial::ALL {
        if let Some(table) = section.table(denial.name()) {
            overrides.push((*denial, entry(&mut section, denial.name(), table)));
        }
    }
    Answers::new(format, disclose, &overrides, credentials)
}

fn entry<'t>(
    section: &mut Section<'t, '_>,
    name: &'static str,
    table: At<Table<'t>>,
) -> AnswerOverride {
    let mut entry = section.enter(name, table);
    let status = entry.integer("status").and_then(|At { value, span }| {
        let status = u16::try_from(value).ok().filter(|status| (400..600).contains(status));
        if status.is_none() {
            let help = "a refusal has a status from 400 to 599";
            entry.wrong(&span, format!("`status` cannot be {value}"), help);
        }
        StatusCode::from_u16(status?).ok()
    });
    let body = entry.string("body").map(|at| at.value.into());
    AnswerOverride { status, body }
}
