//! The threads that serve. Each shows that it has what it needs before any of them accepts.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;

use tokio::sync::watch;

use super::ServeError;
use crate::live::Live;
use crate::proxy;
use crate::proxy::Bound;
use crate::proxy::Phase;

pub(super) type Workers = Vec<JoinHandle<io::Result<()>>>;

/// Starts one for each of what is bound, and waits until all of them could serve. They do when they
/// are told to, and end when there is nobody to tell them.
///
/// # Errors
/// When one cannot be started, or cannot run.
pub(super) fn start(
    live: &Arc<Live>,
    bound: Vec<Bound>,
    told: &watch::Receiver<Phase>,
) -> Result<Workers, ServeError> {
    let (up, ups) = channel();
    let wanted = bound.len();
    let start = |(number, bound): (usize, Bound)| {
        let (live, told, up) = (Arc::clone(live), told.clone(), up.clone());
        let thread = std::thread::Builder::new().name(format!("worker-{number}"));
        thread.spawn(move || {
            let up = move || {
                // Whoever waited for it may have given up.
                let _ = up.send(());
            };
            let ended = proxy::run(&live, bound, told, up);
            if let Err(error) = &ended {
                tracing::error!(%error, "a worker cannot run");
            }
            ended
        })
    };
    let workers = bound.into_iter().enumerate().map(start).collect::<io::Result<Workers>>()?;
    drop(up);
    // Until each has said so, or has ended without.
    if ups.iter().count() < wanted { Err(ServeError::Worker) } else { Ok(workers) }
}
