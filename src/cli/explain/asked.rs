//! Arguments → the request that is asked about.

use std::fs;
use std::io;
use std::io::Read as _;
use std::path::Path;

use http::HeaderName;
use http::HeaderValue;
use http::Version;
use http::header::AUTHORIZATION;
use http::header::CONTENT_LENGTH;
use http::header::COOKIE;
use http::header::HOST;
use http::header::PROXY_AUTHORIZATION;
use http::header::SET_COOKIE;
use http::header::TRANSFER_ENCODING;
use http::request::Parts;
use zeroize::Zeroizing;

use super::Args;
use super::Stop;
use super::load::Policy;
use super::wire;
use super::wire::Read;
use crate::gate::Facts;
use crate::gate::Transport;
use crate::gate::normalize;
use crate::proxy::Flaw;
use crate::proxy::Intake;
use crate::source::Problem;
use crate::source::Problems;

/// The request, and how it comes.
pub(super) struct Asked {
    pub(super) parts: Parts,
    pub(super) body: Zeroizing<Vec<u8>>,
    pub(super) intake: Intake,
    pub(super) transport: Transport,
    has_body: bool,
}

impl Asked {
    pub(super) fn read(args: &Args, policy: &Policy) -> Result<Self, Stop> {
        let read = match &args.request {
            Some(path) => {
                let bytes = contents(path)?;
                wire::read(&bytes).map_err(Stop::Misused)?
            }
            None => described(args, policy)?,
        };
        let Read { parts, body, has_body, flaw } = read;
        let peer = normalize(args.from);
        let intake = Intake::of(&parts, peer, policy.world.trusted_proxies(), flaw);
        let transport = if args.plain { Transport::Plain } else { Transport::Tls };
        Ok(Self { parts, body, intake, transport, has_body })
    }

    /// The path as it is judged, without the query.
    pub(super) fn path(&self) -> &str {
        self.facts().path
    }

    pub(super) fn facts(&self) -> Facts<'_> {
        self.intake.facts(&self.parts, self.transport, self.has_body)
    }
}

/// The request that method, path, headers and body describe.
fn described(args: &Args, policy: &Policy) -> Result<Read, Stop> {
    let method = args.method.as_deref().unwrap_or_default();
    let upper = method.to_ascii_uppercase();
    if method != upper {
        let problem =
            Problem::new(format!("`{}` is no method: they are upper case", plain(method)));
        return Err(Stop::Misused(problem.help(format!("write `{}`", plain(&upper))).into()));
    }
    let path = args.path.as_deref().unwrap_or_default();
    if !path.starts_with('/') && path != "*" {
        let problem = Problem::new("the path does not begin with `/`");
        return Err(Stop::Misused(problem.help("write a path like `/rest/users`").into()));
    }
    let mut parts = wire::start(method, path).map_err(Stop::Misused)?;
    parts.version = Version::HTTP_11;
    for text in &args.header {
        let (name, value) = header(text, policy).map_err(Stop::Misused)?;
        parts.headers.append(name, value);
    }
    if !parts.headers.contains_key(HOST) {
        parts.headers.insert(HOST, HeaderValue::from_static("localhost"));
    }
    let body = match &args.body {
        Some(path) => contents(path)?,
        None => Zeroizing::default(),
    };
    let has_body = !body.is_empty();
    if has_body {
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    let flaw = path.contains('#').then_some(Flaw::Fragment);
    Ok(Read { parts, body, has_body, flaw })
}

fn plain(text: &str) -> impl std::fmt::Display {
    text.escape_debug()
}

/// A header that is not a secret. No message repeats a value: it may be one all the same.
fn header(text: &str, policy: &Policy) -> Result<(HeaderName, HeaderValue), Problems> {
    let wrong = || Problem::new("`--header` wants a name and a value").help("write `Name: value`");
    let (name, value) = text.split_once(':').ok_or_else(wrong)?;
    let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
    let secret = [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE, SET_COOKIE].contains(&header)
        || header.as_str() == "cookie2"
        || policy.snapshot().credentials().header.as_ref() == Some(&header);
    if secret {
        let message =
            format!("`{name}` carries a credential: secrets are never taken as arguments");
        let help = "name a key with `--key-id ID`, or put the whole request into a file and name \
                    that with `--request FILE`";
        return Err(Problem::new(message).help(help).into());
    }
    if [CONTENT_LENGTH, TRANSFER_ENCODING].contains(&header) {
        let problem = Problem::new(format!("`{name}` follows from `--body`"));
        let help = "put the whole request into a file and name that with `--request FILE`";
        return Err(problem.help(help).into());
    }
    let value = HeaderValue::from_bytes(value.trim().as_bytes())
        .map_err(|_| Problem::new(format!("the value of `{name}` cannot stand in a header")))?;
    Ok((header, value))
}

/// A file, or stdin for `-`.
fn contents(path: &Path) -> Result<Zeroizing<Vec<u8>>, Problems> {
    if path == Path::new("-") {
        let mut bytes = Zeroizing::default();
        let read = io::stdin().lock().read_to_end(&mut bytes);
        read.map_err(|error| Problem::new(format!("stdin cannot be read: {error}")))?;
        return Ok(bytes);
    }
    let bytes = fs::read(path).map_err(|error| Problem::unreadable(path, &error))?;
    Ok(Zeroizing::new(bytes))
}
