//! Session tickets: one ticketer for the life of the process, so that a reload does not make every
//! client shake hands anew.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::PoisonError;

use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ProducesTickets;

/// A ticketer, and which client authorities were trusted when it was made.
type Made = (Option<Vec<u8>>, Arc<dyn ProducesTickets>);

static SHARED: Mutex<Option<Made>> = Mutex::new(None);

/// The shared ticketer. Where other client authorities are trusted than before it is a new one:
/// whoever resumes a session is not asked for a certificate again.
pub(super) fn shared(client_ca: Option<&[u8]>) -> Arc<dyn ProducesTickets> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((trusted, ticketer)) = &*shared
        && trusted.as_deref() == client_ca
    {
        return Arc::clone(ticketer);
    }
    let ticketer: Arc<dyn ProducesTickets> = Arc::new(Lazy::default());
    *shared = Some((client_ca.map(<[u8]>::to_vec), Arc::clone(&ticketer)));
    ticketer
}

/// A ticketer that is made when the first client asks for a ticket: gathering the randomness for it
/// takes longer than all else that a command does which only looks at a configuration.
#[derive(Debug, Default)]
struct Lazy(OnceLock<Option<Arc<dyn ProducesTickets>>>);

impl Lazy {
    fn made(&self) -> Option<&Arc<dyn ProducesTickets>> {
        self.0.get_or_init(|| Ticketer::new().ok()).as_ref()
    }
}

impl ProducesTickets for Lazy {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        self.made().map_or(0, |ticketer| ticketer.lifetime())
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.made()?.encrypt(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.made()?.decrypt(cipher)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ticketer_stays_until_other_clients_are_trusted() {
        let (first, again) = (shared(Some(b"a")), shared(Some(b"a")));
        assert!(Arc::ptr_eq(&first, &again));
        assert!(!Arc::ptr_eq(&first, &shared(Some(b"b"))));
        let ticket = first.encrypt(b"session").unwrap();
        assert_eq!(again.decrypt(&ticket).unwrap(), b"session");
        assert!(first.lifetime() > 0);
    }
}
