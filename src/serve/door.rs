//! Opens the admin listener.

use std::os::fd::AsFd as _;

use tokio::net::TcpListener;

use super::ServeError;
use super::passed::Passed;
use super::passed::Socket;
use crate::admin::Listener;
use crate::config::AdminAddress;
use crate::observe::ListenerKind;

/// The admin listener, and the same socket once more: to be handed on.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) listener: Listener,
    pub(super) passed: Passed,
}

/// Listens where the configuration says, or on what is there already.
///
/// # Errors
/// When the address cannot be had.
pub(super) async fn open(
    address: Option<&AdminAddress>,
    passed: Option<Passed>,
) -> Result<Option<Door>, ServeError> {
    if let Some(passed) = passed {
        let listener = match passed.socket.try_clone()? {
            Socket::Tcp(listener) => Listener::from_tcp(listener)?,
            Socket::Unix(listener) => Listener::from_unix(listener)?,
        };
        return Ok(Some(Door { listener, passed }));
    }
    let Some(address) = address else { return Ok(None) };
    let (listener, socket) = match address {
        AdminAddress::Tcp(address) => {
            let fail = |error| ServeError::Admin { address: address.to_string(), error };
            let listener = TcpListener::bind(address).await.map_err(fail)?;
            let socket = Socket::Tcp(listener.as_fd().try_clone_to_owned()?.into());
            (Listener::Tcp(listener), socket)
        }
        AdminAddress::Unix(path) => {
            let address = format!("unix:{}", path.display());
            let fail = |error| ServeError::Admin { address, error };
            let listener = Listener::bind_unix(path).map_err(fail)?;
            let socket = Socket::Unix(listener.as_fd().try_clone_to_owned()?.into());
            (listener, socket)
        }
    };
    let passed = Passed { socket, kind: Some(ListenerKind::Admin), given: false };
    Ok(Some(Door { listener, passed }))
}
