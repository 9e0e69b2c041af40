//! What is written and need not go out yet, because something follows that can go with it: to send
//! costs the system more than to encrypt, however little it is.
//!
//! That is a session ticket while there is a request to answer, and the end of the last answer,
//! which TLS's own end and that of the stream follow at once. The system keeps it (`MSG_MORE`, see
//! send(2)), and for a fifth of a second at most. So nothing waits for ever, whatever happens here.

use std::sync::atomic::{AtomicU8, Ordering};

/// What is held of the output of one connection.
#[derive(Debug, Default)]
pub(super) struct Cork(AtomicU8);

/// All goes out at once.
const NOTHING: u8 = 0;
/// TLS shakes hands: what is encrypted and sent alone is a ticket.
const GREETING: u8 = 1;
/// A ticket waits for a request.
const TICKET: u8 = 2;
/// A ticket waits for the answer.
const ANSWER: u8 = 3;
/// What is written waits for the end.
const END: u8 = 4;

/// Begins a TLS record of what is encrypted (RFC 8446, section 5.1).
const APPLICATION_DATA: u8 = 23;

impl Cork {
    /// TLS begins to shake hands.
    pub(super) fn greet(&self) {
        self.set(GREETING);
    }

    /// Hands are shaken; says whether a ticket waits.
    pub(super) fn greeted(&self) -> bool {
        self.become_if(GREETING, NOTHING);
        self.get() == TICKET
    }

    /// A request has come, at least its beginning.
    pub(super) fn asked(&self) {
        self.become_if(TICKET, ANSWER);
    }

    /// All of the connection's last answer is there.
    pub(super) fn end_follows(&self) {
        self.set(END);
    }

    /// Says of what is about to be written whether it may wait for what follows.
    pub(super) fn waits(&self, bytes: &[u8]) -> bool {
        match self.get() {
            GREETING if bytes.first() == Some(&APPLICATION_DATA) => self.set(TICKET),
            TICKET | END => {}
            ANSWER => {
                self.set(NOTHING);
                return false;
            }
            _ => return false,
        }
        true
    }

    /// There is nothing to do but wait for the client; says whether it has to be sent what waits.
    pub(super) fn idles(&self) -> bool {
        self.become_if(TICKET, NOTHING) || self.become_if(END, NOTHING)
    }

    /// Nothing is to wait any longer; says whether something does.
    pub(super) fn let_go(&self) -> bool {
        self.become_if(ANSWER, NOTHING) || self.idles()
    }

    /// The end has come, which takes with it what waits.
    pub(super) fn ended(&self) {
        self.set(NOTHING);
    }

    fn become_if(&self, from: u8, to: u8) -> bool {
        let is = self.get() == from;
        if is {
            self.set(to);
        }
        is
    }

    /// Only ever touched by the connection's own thread.
    fn get(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, what: u8) {
        self.0.store(what, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLIGHT: &[u8] = &[22, 3, 3];
    const RECORD: &[u8] = &[23, 3, 3];

    fn greeted() -> Cork {
        let cork = Cork::default();
        cork.greet();
        assert!(!cork.waits(FLIGHT));
        assert!(cork.waits(RECORD));
        assert!(cork.greeted());
        cork
    }

    #[test]
    fn a_ticket_waits_for_the_answer_to_what_has_been_asked() {
        let cork = greeted();
        cork.asked();
        assert!(!cork.idles(), "the request is whole, and is being answered");
        assert!(!cork.waits(RECORD), "the answer takes it along");
        assert!(!cork.let_go());
    }

    #[test]
    fn a_ticket_goes_out_where_nothing_is_asked_or_more_is_to_come() {
        let cork = greeted();
        assert!(cork.idles());
        assert!(!cork.idles(), "once");
        cork.asked();
        assert!(!cork.let_go());
        let cork = greeted();
        cork.asked();
        assert!(cork.let_go());
    }

    #[test]
    fn without_a_ticket_nothing_waits() {
        let cork = Cork::default();
        cork.greet();
        assert!(!cork.waits(FLIGHT));
        assert!(!cork.greeted());
        cork.asked();
        assert!(!cork.waits(RECORD) && !cork.idles() && !cork.let_go());
    }

    #[test]
    fn the_last_answer_waits_for_the_end_unless_that_does_not_follow() {
        let cork = Cork::default();
        cork.end_follows();
        assert!(cork.waits(RECORD) && cork.waits(RECORD));
        cork.ended();
        assert!(!cork.idles());
        cork.end_follows();
        assert!(cork.idles());
        assert!(!cork.waits(RECORD));
    }
}
