//! What two processes say to one another: words, each with a socket or without.

use std::io;
use std::io::IoSlice;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::cmsg_space;
use rustix::io::retry_on_intr;
use rustix::net::AddressFamily;
use rustix::net::RecvAncillaryBuffer;
use rustix::net::RecvAncillaryMessage;
use rustix::net::RecvFlags;
use rustix::net::SendAncillaryBuffer;
use rustix::net::SendAncillaryMessage;
use rustix::net::SendFlags;
use rustix::net::Shutdown;
use rustix::net::SocketFlags;
use rustix::net::SocketType;
use rustix::net::recvmsg;
use rustix::net::sendmsg;
use rustix::net::shutdown;
use rustix::net::socketpair;
use rustix::net::sockopt::Timeout;
use rustix::net::sockopt::set_socket_timeout;
use rustix::net::sockopt::socket_domain;
use rustix::net::sockopt::socket_type;

/// The longest text, in bytes.
const LONGEST: usize = 256;

/// One end: messages stay whole and in order, and the other end's closing is seen.
#[derive(Debug)]
pub(super) struct Channel(OwnedFd);

/// What was said.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) text: String,
    pub(super) socket: Option<OwnedFd>,
}

impl Channel {
    /// Two ends; the second is to become another process's standard input.
    pub(super) fn pair() -> io::Result<(Self, OwnedFd)> {
        let kind = SocketType::SEQPACKET;
        let (ours, its) = socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
        Ok((Self(ours), its))
    }

    /// An end that was passed to us, if it is one.
    pub(super) fn of(end: OwnedFd) -> Option<Self> {
        let unix = socket_domain(&end) == Ok(AddressFamily::UNIX);
        (unix && socket_type(&end) == Ok(SocketType::SEQPACKET)).then_some(Self(end))
    }

    pub(super) fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// How long to wait for the other side from now on.
    pub(super) fn wait_at_most(&self, time: Duration) -> io::Result<()> {
        set_socket_timeout(&self.0, Timeout::Recv, Some(time))?;
        Ok(set_socket_timeout(&self.0, Timeout::Send, Some(time))?)
    }

    pub(super) fn send(&self, text: &str, socket: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let sockets = socket.as_slice();
        if !sockets.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(sockets));
        }
        let parts = [IoSlice::new(text.as_bytes())];
        retry_on_intr(|| sendmsg(&self.0, &parts, &mut control, SendFlags::NOSIGNAL))?;
        Ok(())
    }

    /// The next message; `None` when the other side has closed.
    pub(super) fn receive(&self) -> io::Result<Option<Message>> {
        let mut text = [0; LONGEST];
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut text)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        let received = retry_on_intr(|| recvmsg(&self.0, &mut parts, &mut control, flags))?;
        let mut socket = None;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(mut sockets) = message {
                socket = sockets.next();
            }
        }
        if received.bytes == 0 {
            return Ok(None);
        }
        let text = text.get(..received.bytes).unwrap_or_default();
        let text = String::from_utf8_lossy(text).into_owned();
        Ok(Some(Message { text, socket }))
    }

    /// Waits for a word; `false` when the other side has closed, or says something else.
    pub(super) fn hear(&self, word: &str) -> io::Result<bool> {
        Ok(self.receive()?.is_some_and(|message| message.text == word))
    }

    /// Closes both directions, for every holder of this end: whoever waits is told.
    pub(super) fn close(&self) {
        // Where the other side has gone there is nothing to close.
        let _ = shutdown(self.0.as_fd(), Shutdown::Both);
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn words_and_sockets_arrive_in_order_and_the_end_is_seen() {
        let (ours, its) = Channel::pair().unwrap();
        let its = Channel::of(its).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        ours.send("https own", Some(listener.as_fd())).unwrap();
        ours.send("end", None).unwrap();
        let first = its.receive().unwrap().unwrap();
        assert_eq!(first.text, "https own");
        let same = TcpListener::from(first.socket.unwrap());
        assert_eq!(same.local_addr().unwrap(), listener.local_addr().unwrap());
        assert!(its.hear("end").unwrap());
        its.wait_at_most(Duration::from_millis(10)).unwrap();
        assert!(its.receive().is_err(), "there is nothing more");
        ours.close();
        assert!(its.receive().unwrap().is_none());
    }

    #[test]
    fn what_is_no_end_of_a_channel_is_not_taken_for_one() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(Channel::of(listener.into()).is_none());
        assert!(Channel::of(std::fs::File::open("/dev/null").unwrap().into()).is_none());
    }
}
