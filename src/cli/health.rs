//! `keygate health`: asks a running keygate how it is, where there is no shell and no `curl` to do
//! it: health checks of containers, exec probes, scripts.
//!
//! A client of the admin port with plain sockets. Must not know more of the process than that port
//! shows.

use std::io;
use std::io::Read as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use std::time::Instant;

use socket2::Domain;
use socket2::SockAddr;
use socket2::Socket;
use socket2::Type;

use super::print;
use crate::clock;
use crate::config::AdminAddress;
use crate::source::Problem;
use crate::source::Problems;

/// Ask a running keygate whether it is ready: exit 0 if it is, 1 if it is not or does not answer
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to ask: `IP:port` or `unix:PATH`; `listen.admin` of the configuration unless said
    #[arg(long, value_name = "ADDRESS", value_parser = AdminAddress::parse)]
    admin: Option<AdminAddress>,
    /// The configuration whose `listen.admin` to ask [default: keygate.toml]
    #[arg(long, value_name = "FILE", conflicts_with = "admin")]
    config: Option<PathBuf>,
    /// Ask only whether it is alive, which it also is while it drains
    #[arg(long)]
    live: bool,
}

const CONFIG: &str = "keygate.toml";
/// Where the quickstart's admin port is: asked when there is no configuration to say otherwise.
const USUAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);
/// For the whole answer. Probes have little patience of their own; the port answers in microseconds.
const PATIENCE: Duration = Duration::from_secs(2);
/// The most of an answer that is read, in bytes.
const LARGEST: usize = 64 * 1024;

/// What was answered.
struct Answer {
    status: u16,
    body: String,
}

/// What the members of `/readyz` say; nothing, where something else answers.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Said {
    ready: Option<bool>,
    draining: bool,
    generation: u64,
    keys: usize,
    error: Option<String>,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let address = match where_to_ask(args) {
        Ok(address) => address,
        Err(problems) => return print::refuse_all(&problems),
    };
    let path = if args.live { "/livez" } else { "/readyz" };
    match ask(&address, path) {
        // What says nothing of being ready is another server, which answers so whatever it is asked.
        Ok(Answer { status: 200, body }) if args.live || Said::in_body(&body).ready.is_some() => {
            well(args.live, &body)
        }
        Ok(answer) => print::refuse(&unwell(path, &answer)),
        Err(error) => {
            let problem = Problem::new(format!("no answer from `{address}`: {error}"));
            let help = "is keygate running, and is this its `listen.admin`? name another with \
                        `--admin` or `--config`";
            print::refuse(&problem.help(help))
        }
    }
}

fn where_to_ask(args: &Args) -> Result<AdminAddress, Problems> {
    if let Some(address) = &args.admin {
        return reachable(address.clone(), "--admin");
    }
    let path = args.config.as_deref().unwrap_or(Path::new(CONFIG));
    if args.config.is_none() && !path.exists() {
        return Ok(AdminAddress::Tcp(USUAL));
    }
    let Some(address) = AdminAddress::of_config(path)? else {
        let message = format!("`{}` has no `admin` in `[listen]` to ask", path.display());
        let help = format!("add `admin = \"{USUAL}\"` there, or say where with `--admin`");
        return Err(Problem::new(message).help(help).into());
    };
    reachable(address, &path.display().to_string())
}

/// The address to connect to: who listens on every address is asked over loopback.
fn reachable(address: AdminAddress, place: &str) -> Result<AdminAddress, Problems> {
    let AdminAddress::Tcp(mut address) = address else { return Ok(address) };
    if address.port() == 0 {
        let message = format!("`{address}` of `{place}` is a port that the system chooses");
        let help = "say with `--admin` which one the log line `listening` names";
        return Err(Problem::new(message).help(help).into());
    }
    match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    Ok(AdminAddress::Tcp(address))
}

fn well(live: bool, body: &str) -> ExitCode {
    if live {
        return print::answer("alive\n");
    }
    let said = Said::in_body(body);
    if let Some(error) = said.error {
        // It goes on serving what it had: no reason to restart it.
        let message = format!("the files as they are now do not load: {error}");
        let help = "`keygate check` says where; until then the old state is in force";
        print::warn_all(&Problem::new(message).help(help).warning().into());
    }
    print::answer(&format!("ready: generation {}, keys {}\n", said.generation, said.keys))
}

fn unwell(path: &str, answer: &Answer) -> Problem {
    let said = Said::in_body(&answer.body);
    if said.ready.is_none() {
        let message = format!("`{path}` answers {}", answer.status);
        let help = "is this the admin port of keygate? name another with `--admin`";
        return Problem::new(message).help(help);
    }
    let why = match said.error {
        _ if said.draining => "it is draining".to_owned(),
        Some(error) => error,
        None => "it does not serve yet".to_owned(),
    };
    Problem::new(format!("not ready: {why}"))
}

impl Said {
    fn in_body(body: &str) -> Self {
        serde_json::from_str(body).unwrap_or_default()
    }
}

fn ask(address: &AdminAddress, path: &str) -> io::Result<Answer> {
    let (domain, address) = match address {
        AdminAddress::Tcp(address) => (Domain::for_address(*address), SockAddr::from(*address)),
        AdminAddress::Unix(path) => (Domain::UNIX, SockAddr::unix(path)?),
    };
    let end = clock::mono() + PATIENCE;
    let mut socket = Socket::new(domain, Type::STREAM, None)?;
    socket.connect_timeout(&address, PATIENCE)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: keygate\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes())?;
    understand(&read(&mut socket, end)?)
}

/// Everything up to the end of the connection, or of our patience.
fn read(socket: &mut Socket, end: Instant) -> io::Result<Vec<u8>> {
    let (mut answer, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let left = end.saturating_duration_since(clock::mono());
        if left.is_zero() {
            return Err(late());
        }
        socket.set_read_timeout(Some(left))?;
        match socket.read(&mut chunk) {
            Ok(0) => return Ok(answer),
            Ok(n) => answer.extend(chunk.iter().take(n)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(late()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if answer.len() > LARGEST {
            return Err(io::Error::other("it answers more than health takes"));
        }
    }
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("nothing within {} s", PATIENCE.as_secs()))
}

fn understand(answer: &[u8]) -> io::Result<Answer> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    match status.and_then(|digits| digits.parse().ok()) {
        Some(status) => Ok(Answer { status, body: body.to_owned() }),
        None => Err(io::Error::other("what answers there does not speak HTTP")),
    }
}
