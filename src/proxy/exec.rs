//! Tasks of the HTTP library stay on the worker's own thread.

/// Spawns on the current thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct LocalExec;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for LocalExec {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}
