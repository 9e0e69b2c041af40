//! The other listener: health, readiness, version and metrics, for probes and operators.
//!
//! It shares nothing with the data path but the numbers. Must not know keys or routes: it asks for
//! a [`Status`] and shows it.

mod answer;
mod listener;

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::observe::ConnectionGuard;
use crate::observe::ListenerKind;
use crate::observe::Metrics;
use crate::observe::Occupancy;
use crate::observe::Status;

pub use listener::Listener;
use listener::Stream;

/// How many connections are served at once; further ones wait in the system's queue.
const MOST_CONNECTIONS: usize = 64;
/// How long a connection may be silent, or a request's head unfinished.
const HEAD: Duration = Duration::from_secs(30);
/// How long a connection may last, so that one that does not read cannot stay.
const LIFETIME: Duration = Duration::from_secs(600);
/// How long to wait after an `accept` that failed: it would fail again at once.
const PAUSE: Duration = Duration::from_millis(100);
/// How long who is being answered may take at the end.
const LAST: Duration = Duration::from_secs(2);
/// The largest head of a request, in bytes.
const LARGEST_HEAD: usize = 16 * 1024;

/// What the admin port has to show.
#[derive(Clone)]
pub struct State {
    /// The process's metrics.
    pub metrics: Arc<Metrics>,
    /// Asked anew for each `/readyz`.
    pub status: Arc<dyn Fn() -> Status + Send + Sync>,
    /// Asked anew for each `/metrics`.
    pub occupancy: Arc<dyn Fn() -> Occupancy + Send + Sync>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}

/// Answers until `shutdown` completes; then nobody is let in, who is being answered is answered, and
/// every connection is closed. Probes go on asking while requests are drained, so that is for the
/// very end, or for when another process answers them.
///
/// To be run within a [`tokio::task::LocalSet`], on the thread whose share of the metrics counts
/// the connections.
pub async fn serve(listener: Listener, state: State, shutdown: impl Future<Output = ()>) {
    let worker = state.metrics.worker();
    let (leave, left) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    let mut failing = false;
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < MOST_CONNECTIONS => {
                let (state, left) = (state.clone(), left.clone());
                let guard = worker.connection(ListenerKind::Admin);
                failing = accepted.is_err() && failing;
                match accepted {
                    Ok(Stream::Tcp(stream)) => {
                        connections.spawn_local(connection(stream, state, guard, left));
                    }
                    Ok(Stream::Unix(stream)) => {
                        connections.spawn_local(connection(stream, state, guard, left));
                    }
                    Err(error) => {
                        worker.accept_error(ListenerKind::Admin);
                        // Said once, not once for each attempt.
                        if !failing {
                            tracing::warn!(%error, "the admin listener cannot accept");
                        }
                        failing = true;
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        }
    }
    drop((listener, leave));
    let rest = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(LAST, rest).await;
}

/// `left` tells by its end that no further request is to be answered.
async fn connection<S>(
    stream: S,
    state: State,
    guard: ConnectionGuard,
    mut left: watch::Receiver<()>,
) where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let service = service_fn(|request: Request<Incoming>| {
        let response = answer::answer(&request, &state);
        async { Ok::<_, Infallible>(response.map(Full::new)) }
    });
    let mut serving = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(LARGEST_HEAD)
            .serve_connection(TokioIo::new(stream), service)
    );
    let serving = async {
        tokio::select! {
            _ = serving.as_mut() => return,
            _ = left.changed() => serving.as_mut().graceful_shutdown(),
        }
        let _ = serving.await;
    };
    // Whatever ends it, there is nobody to tell.
    let _ = tokio::time::timeout(LIFETIME, serving).await;
    drop(guard);
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::oneshot;
    use tokio::task::LocalSet;

    use super::*;

    /// Serves on a free port while `client` talks to it.
    fn with_server<F: Future<Output = ()> + 'static>(client: impl FnOnce(String) -> F + 'static) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            let status = || Status { ready: true, generation: 5, ..Status::default() };
            let occupancy = Arc::new(Occupancy::default);
            let state = State { metrics: Metrics::new(), status: Arc::new(status), occupancy };
            let (stop, stopped) = oneshot::channel::<()>();
            let shutdown = async { drop(stopped.await) };
            let server = tokio::task::spawn_local(serve(Listener::Tcp(listener), state, shutdown));
            client(address).await;
            drop(stop);
            server.await.unwrap();
        });
    }

    async fn ask(address: &str, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[test]
    fn it_answers_over_a_socket_and_ends_when_told() {
        with_server(|address| async move {
            let request = "GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
            let answer = ask(&address, request).await;
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
            assert!(answer.contains(r#""generation":5"#), "{answer}");
        });
    }

    #[test]
    fn its_own_connections_are_counted() {
        with_server(|address| async move {
            let request = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
            let answer = ask(&address, request).await;
            assert!(answer.contains("keygate_connections{listener=\"admin\"} 1\n"), "{answer}");
        });
    }

    #[test]
    fn connections_beyond_the_cap_wait_for_a_place() {
        with_server(|address| async move {
            let mut hoarders = Vec::new();
            for _ in 0..MOST_CONNECTIONS {
                hoarders.push(TcpStream::connect(&address).await.unwrap());
            }
            let late = ask(&address, "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            let mut late = pin!(late);
            let waited = tokio::time::timeout(Duration::from_millis(50), &mut late).await;
            assert!(waited.is_err(), "it was served beyond the cap");
            hoarders.pop();
            let answer = tokio::time::timeout(Duration::from_secs(10), late).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        });
    }
}
