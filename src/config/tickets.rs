//! Session tickets: one ticketer for the life of the process, so that a reload does not make every
//! client shake hands anew.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ProducesTickets;

/// A ticketer, and which client authorities were trusted when it was made.
type Made = (Option<Vec<u8>>, Arc<dyn ProducesTickets>);

static SHARED: Mutex<Option<Made>> = Mutex::new(None);

/// The shared ticketer. Where other client authorities are trusted than before it is a new one:
/// whoever resumes a session is not asked for a certificate again.
pub(super) fn shared(client_ca: Option<&[u8]>) -> Option<Arc<dyn ProducesTickets>> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((trusted, ticketer)) = &*shared
        && trusted.as_deref() == client_ca
    {
        return Some(Arc::clone(ticketer));
    }
    let ticketer = Ticketer::new().ok()?;
    *shared = Some((client_ca.map(<[u8]>::to_vec), Arc::clone(&ticketer)));
    Some(ticketer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ticketer_stays_until_other_clients_are_trusted() {
        let (first, again) = (shared(Some(b"a")).unwrap(), shared(Some(b"a")).unwrap());
        assert!(Arc::ptr_eq(&first, &again));
        assert!(!Arc::ptr_eq(&first, &shared(Some(b"b")).unwrap()));
    }
}
