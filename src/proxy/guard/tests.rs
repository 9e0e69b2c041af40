//! The guard over input that arrives in any pieces.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proptest::prelude::*;
use tokio::io::{AsyncRead, ReadBuf};

use super::*;

/// Input that arrives in pieces.
struct Pieces(Vec<Vec<u8>>);

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(first) = self.0.first_mut() else { return Poll::Ready(Ok(())) };
        let part: Vec<u8> = first.drain(..first.len().min(buffer.remaining())).collect();
        buffer.put_slice(&part);
        if first.is_empty() {
            self.0.remove(0);
        }
        Poll::Ready(Ok(()))
    }
}

/// What is handed on, and how it ends.
fn handed_on(pieces: Vec<Vec<u8>>, room: usize) -> (Vec<u8>, Option<End>, Input) {
    let pieces = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
    let (mut guarded, input) = Guarded::new(Pieces(pieces), Duration::from_hours(1));
    let (mut all, mut context) = (Vec::new(), Context::from_waker(Waker::noop()));
    loop {
        let mut bytes = vec![0; room];
        let mut buffer = ReadBuf::new(&mut bytes);
        match Pin::new(&mut guarded).poll_read(&mut context, &mut buffer) {
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => return (all, None, input),
            Poll::Ready(Ok(())) => all.extend_from_slice(buffer.filled()),
            Poll::Ready(Err(_)) => return (all, Some(End::Broken), input),
            Poll::Pending => return (all, Some(End::Malformed), input),
        }
    }
}

fn split(text: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
    cuts.extend([0, text.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| text[pair[0]..pair[1]].to_vec()).collect()
}

const GOOD: &str = "\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n\
    POST /b#c HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nGET /\
    POST /d HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n\r\n\r\r\n0\r\nA: b\r\n\r\n\
    GET /e HTTP/1.1\r\nHost: h\r\n\r\n";

proptest! {
    #[test]
    fn good_input_is_handed_on_as_it_is(
        cuts in proptest::collection::vec(any::<usize>(), 0..8), room in 1usize..200,
    ) {
        let (all, end, input) = handed_on(split(GOOD.as_bytes(), &cuts), room);
        prop_assert_eq!(String::from_utf8_lossy(&all), GOOD);
        prop_assert_eq!(end, None);
        let flaws: Vec<_> = (1..=4).map(|number| input.take(number)).collect();
        prop_assert_eq!(flaws, [None, Some(Flaw::Fragment), None, None]);
    }

    #[test]
    fn nothing_after_a_bad_head_is_handed_on(
        cuts in proptest::collection::vec(any::<usize>(), 0..8), room in 1usize..200,
    ) {
        let bad = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\
            Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n";
        let (all, end, input) = handed_on(split(format!("{GOOD}{bad}").as_bytes(), &cuts), room);
        let stand_in = std::str::from_utf8(STAND_IN).unwrap();
        prop_assert_eq!(String::from_utf8_lossy(&all), format!("{GOOD}{stand_in}"));
        prop_assert_eq!(end, Some(End::Malformed));
        prop_assert_eq!(input.take(5), Some(Flaw::Malformed));
    }

    #[test]
    fn a_body_that_breaks_its_framing_ends_there(
        cuts in proptest::collection::vec(any::<usize>(), 0..8), room in 1usize..200,
    ) {
        let good = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2";
        let text = format!("{good};x=y\nbc\r\n0\r\n\r\n");
        let (all, end, _) = handed_on(split(text.as_bytes(), &cuts), room);
        prop_assert_eq!(String::from_utf8_lossy(&all), format!("{good};x=y"));
        prop_assert_eq!(end, Some(End::Broken));
    }

    #[test]
    fn any_input_in_any_pieces_is_read_in_the_same_way(
        text in proptest::collection::vec(
            prop_oneof![Just(b'\r'), Just(b'\n'), Just(b':'), Just(b' '), Just(b'0'), any::<u8>()],
            0..300,
        ),
        cuts in proptest::collection::vec(any::<usize>(), 0..8),
        chunked in any::<bool>(),
    ) {
        let before = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
        let before = if chunked { before } else { "" };
        let text = [before.as_bytes(), &text].concat();
        let whole = handed_on(vec![text.clone()], 1000);
        let pieces = handed_on(split(&text, &cuts), 7);
        prop_assert_eq!((whole.0, whole.1), (pieces.0, pieces.1));
    }
}

#[test]
fn heads_without_end_are_refused() {
    let endless = vec![b"GET / HTTP/1.1\r\n".to_vec(), b"a: b\r\n".repeat(12_000)];
    assert_eq!(handed_on(endless, 8192).1, Some(End::Malformed));
    let line = vec![b"GET /".to_vec(), vec![b'a'; 70_000]];
    assert_eq!(handed_on(line, 8192).1, Some(End::Malformed));
}

#[test]
fn lines_end_with_cr_and_lf() {
    for bad in [
        "GET / HTTP/1.1\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n\n",
        "\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let (all, end, _) = handed_on(vec![bad.as_bytes().to_vec()], 100);
        assert_eq!((all.as_slice(), end), (STAND_IN, Some(End::Malformed)), "{bad:?}");
    }
}

#[test]
fn an_upgraded_connection_is_not_looked_at() {
    let head = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let pieces = vec![head.as_bytes().to_vec(), b"\x81\x02".to_vec(), b"\nno\n".to_vec()];
    let (mut guarded, input) = Guarded::new(Pieces(pieces), Duration::from_hours(1));
    let mut context = Context::from_waker(Waker::noop());
    let mut next = || {
        let mut bytes = [0; 100];
        let mut buffer = ReadBuf::new(&mut bytes);
        let polled = Pin::new(&mut guarded).poll_read(&mut context, &mut buffer);
        assert!(matches!(polled, Poll::Ready(Ok(()))));
        buffer.filled().to_vec()
    };
    assert_eq!(next(), head.as_bytes());
    input.open();
    assert_eq!(next(), b"\x81\x02");
    assert_eq!(next(), b"\nno\n");
    assert_eq!(next(), b"");
}
