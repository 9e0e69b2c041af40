//! `[[tls.certificate_for]]`: further certificates, each for the names that it says.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::sign::CertifiedKey;

use super::certificate;
use super::certificate::Shown;
use super::files::Files;
use super::reading::judge;
use super::sni::Name;
use crate::source::At;
use crate::source::Problem;
use crate::source::Section;
use crate::source::Span;

/// What is shown for which names.
#[derive(Default)]
pub(super) struct Named {
    pub(super) by_name: HashMap<Name, Arc<CertifiedKey>>,
    /// When the certificate of each name expires, in the order in which they are written.
    pub(super) expiries: Vec<(Box<str>, Timestamp)>,
}

/// Reads them all; `None` where one cannot be used. Files are read only if they are `needed`.
pub(super) fn read(
    tls: &mut Section<'_, '_>,
    files: &mut Files,
    needed: bool,
    now: Timestamp,
) -> Option<Named> {
    let mut named = Named::default();
    let mut places: HashMap<Name, Span> = HashMap::new();
    let mut sound = true;
    for table in tls.tables("certificate_for") {
        let mut section = tls.enter("[[tls.certificate_for]]", table);
        let names = names(&mut section, &mut places);
        let shown = certificate::read(&mut section, files, needed, now);
        let (Some(names), Some(shown)) = (names, shown) else {
            sound = false;
            continue;
        };
        warn_of_uncovered(&mut section, &names, &shown);
        for At { value: name, .. } in names {
            named.expiries.push((name.as_str().into(), shown.not_after));
            named.by_name.insert(name, Arc::clone(&shown.certified));
        }
    }
    sound.then_some(named)
}

/// The names of one table, which no table before may have.
fn names(section: &mut Section<'_, '_>, places: &mut HashMap<Name, Span>) -> Option<Vec<At<Name>>> {
    if section.peek("names").is_none() {
        section.missing("names");
    }
    let before = section.problems().len();
    let At { value: texts, span } = section.strings("names")?;
    if section.problems().fatal_since(before) {
        return None;
    }
    if texts.is_empty() {
        let help = "write the names that this certificate is for, like `[\"api.example.com\"]`";
        section.wrong(&span, "`names` is empty: nobody would ever get this certificate", help);
        return None;
    }
    let mut names = Vec::with_capacity(texts.len());
    for At { value: text, span } in texts {
        let name = judge(section, &span, Name::parse(&text))?;
        if let Some(first) = places.get(&name) {
            let message = format!("`{}` has a certificate already", name.as_str());
            let source = section.source();
            let problem = Problem::at(source, span, message)
                .also(source, first.clone(), "here")
                .help("name it once, with the certificate that is to be shown");
            section.problems().push(problem);
            return None;
        }
        places.insert(name.clone(), span.clone());
        names.push(At { value: name, span });
    }
    Some(names)
}

/// Clients refuse a certificate that is for other names.
fn warn_of_uncovered(section: &mut Section<'_, '_>, names: &[At<Name>], shown: &Shown) {
    let certified = &shown.names;
    let covers = |name: &Name| certified.iter().any(|its| name.is_covered_by(its));
    for At { value: name, span } in names.iter().filter(|name| !covers(&name.value)) {
        let path = shown.path.display();
        let message = format!("the certificate in `{path}` is not for `{}`", name.as_str());
        let help = match certified.iter().map(Name::as_str).collect::<Vec<_>>().as_slice() {
            [] => "clients will refuse it: get one that has this name".to_owned(),
            names => format!("clients will refuse it: it is for `{}`", names.join("`, `")),
        };
        section.warn(span, message, help);
    }
}
