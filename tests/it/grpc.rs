//! gRPC through it, with the library that most of its clients use, at both ends.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use crate::actors::eventually;
use crate::actors::pki::TRUSTED;
use crate::actors::setup::{READ, Setup, WRITE};
use crate::actors::sidecar::Sidecar;
use crate::documents::{clients, python};

/// A gRPC service; it ends with the test.
struct Service {
    child: Child,
    url: String,
}

impl Service {
    fn start() -> Self {
        let mut child = Command::new(python())
            .arg(clients().join("grpc-upstream.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        assert!(!port.is_empty(), "no gRPC service; run tests/clients/install.sh");
        Self { child, url: format!("http://127.0.0.1:{}", port.trim()) }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn every_kind_of_grpc_call_passes_with_its_trailers_and_refusals_have_their_status() {
    let service = Service::start();
    let setup = Setup::before_url(&service.url)
        .upstream("protocol = \"http2\"")
        .file("ca.pem", TRUSTED.pem());
    let sidecar = Sidecar::start(&setup);
    let output = Command::new(python())
        .arg(clients().join("grpc-client.py"))
        .env("BASE", format!("localhost:{}", sidecar.https.port()))
        .env("KEY", WRITE)
        .env("NARROW", READ)
        .env("CA", sidecar.path("ca.pem"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<_> = said.lines().collect();
    let wanted = [
        "unary: acme - OK 5",
        "answers: 1000 499500 OK all",
        "requests: 499500",
        "both: 4950",
        "time left: as said",
        "late: DEADLINE_EXCEEDED",
        "error: NOT_FOUND no such thing",
        "no key: UNAUTHENTICATED",
        "wrong key: UNAUTHENTICATED",
        "narrow key: PERMISSION_DENIED",
    ];
    assert_eq!(lines, wanted, "{}", String::from_utf8_lossy(&output.stderr));
    // The call that was given up is given up upstream too.
    eventually("nothing in flight", || {
        (sidecar.metric("keygate_in_flight_requests", &[]) == 0.0).then_some(())
    });
}
