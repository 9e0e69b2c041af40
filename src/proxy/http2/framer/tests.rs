use super::*;

const START: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn frame(kind: u8, flags: u8, stream: u8, content: &[u8]) -> Vec<u8> {
    let [.., a, b, c] = content.len().to_be_bytes();
    [&[a, b, c, kind, flags, 0, 0, 0, stream][..], content].concat()
}

/// What is handed on of some input after a preface, in one piece or byte by byte.
fn handed_on(input: &[u8]) -> (Vec<u8>, Result<(), Ended>) {
    let now = Instant::now();
    let whole = [START, input].concat();
    let run = |pieces: Vec<&[u8]>| {
        let mut framer = Framer::new(now);
        let (mut from, mut to) = (BytesMut::new(), BytesMut::new());
        for piece in pieces {
            from.extend_from_slice(piece);
            let fed = framer.feed(&mut from, &mut to, || now);
            if fed.is_err() {
                return (to.to_vec(), fed);
            }
        }
        (to.to_vec(), Ok(()))
    };
    let (at_once, bytes) = (run(vec![&whole]), run(whole.chunks(1).collect()));
    assert_eq!(at_once, bytes);
    (at_once.0.strip_prefix(START).unwrap().to_vec(), at_once.1)
}

#[test]
fn what_is_right_passes_as_it_is() {
    let input = [
        frame(4, 0, 0, &[0; 6]),
        frame(HEADERS, END_HEADERS, 1, &[0x82, 0x84]),
        frame(DATA, 0, 1, b"abc"),
        frame(HEADERS, PADDED | PRIORITY, 3, &[2, 0, 0, 0, 0, 0, 0x82, 0, 0]),
        frame(CONTINUATION, 0, 3, &[]),
        frame(CONTINUATION, END_HEADERS, 3, &[0x84]),
        frame(6, 0, 0, &[0; 8]),
        frame(0xee, 0xff, 9, b"unknown"),
    ]
    .concat();
    assert_eq!(handed_on(&input), (input, Ok(())));
}

#[test]
fn a_fragment_is_marked_at_the_end_of_its_block() {
    let path = [&[0x04, 4][..], b"/a#b"].concat();
    let mark = [&[0, 12][..], MARK.as_str().as_bytes(), &[1, FRAGMENT]].concat();
    let one = frame(HEADERS, END_HEADERS | 1, 1, &path);
    let marked = [frame(HEADERS, 1, 1, &path), frame(CONTINUATION, END_HEADERS, 1, &mark)];
    assert_eq!(handed_on(&one), (marked.concat(), Ok(())));
    // However it is cut.
    let (head, rest) = path.split_at(3);
    let two = [frame(HEADERS, 0, 1, head), frame(CONTINUATION, END_HEADERS, 1, rest)];
    let marked = [
        frame(HEADERS, 0, 1, head),
        frame(CONTINUATION, 0, 1, rest),
        frame(CONTINUATION, END_HEADERS, 1, &mark),
    ];
    assert_eq!(handed_on(&two.concat()), (marked.concat(), Ok(())));
}

#[test]
fn too_many_fields_are_marked_too() {
    let mark = [&[0, 12][..], MARK.as_str().as_bytes(), &[1, MANY]].concat();
    let block = [&[0x04, 2, b'/', b'#'][..], &[0x82; 256]].concat();
    let marked = [frame(HEADERS, 0, 1, &block), frame(CONTINUATION, END_HEADERS, 1, &mark)];
    assert_eq!(handed_on(&frame(HEADERS, END_HEADERS, 1, &block)), (marked.concat(), Ok(())));
    let most = frame(HEADERS, END_HEADERS, 1, &[0x82; 256]);
    assert_eq!(handed_on(&most), (most, Ok(())));
}

#[test]
fn what_breaks_the_framing_ends_the_connection() {
    let open = frame(HEADERS, 0, 1, &[0x82]);
    for bad in [
        [open.clone(), frame(6, 0, 0, &[0; 8])].concat(),
        [open.clone(), frame(CONTINUATION, END_HEADERS, 3, &[])].concat(),
        [open.clone(), open.clone()].concat(),
        frame(CONTINUATION, END_HEADERS, 1, &[0x82]),
        frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2, 0x82]),
        frame(HEADERS, END_HEADERS | PADDED, 1, &[5, 0x82]),
        frame(HEADERS, END_HEADERS | PADDED, 1, &[]),
        frame(HEADERS, END_HEADERS | PRIORITY, 1, &[0; 4]),
        frame(HEADERS, END_HEADERS, 1, &[0x80]),
        frame(HEADERS, END_HEADERS, 1, &[0x44, 9, b'/']),
        [open, frame(CONTINUATION, 0, 1, &[0x82; LARGEST_FRAME]).repeat(8)].concat(),
    ] {
        assert_eq!(handed_on(&bad), (BROKEN_PING.to_vec(), Err(Ended)));
    }
    let large = frame(DATA, 0, 1, &[0; LARGEST_FRAME + 1]);
    assert_eq!(handed_on(&large), (large[..HEAD].to_vec(), Err(Ended)));
}

#[test]
fn frames_that_carry_nothing_are_counted() {
    let start = Instant::now();
    let mut allowance = Allowance { left: FRAMES, since: start };
    let many = |allowance: &mut Allowance, after: u64| {
        let now = start + Duration::from_millis(after);
        (0..).take_while(|_| allowance.spend(|| now).is_ok()).count()
    };
    assert_eq!(many(&mut allowance, 0), 10_000);
    assert_eq!(many(&mut allowance, 0), 0);
    assert_eq!(many(&mut allowance, 20), 40);
    assert_eq!(many(&mut allowance, 3_600_000), 10_000);
    allowance.request();
    allowance.content(512);
    assert_eq!(many(&mut allowance, 3_600_000), 10);
    allowance.content(usize::MAX);
    assert_eq!(many(&mut allowance, 3_600_000), 10_000);
}

/// Numbers that are the same each time.
fn numbers() -> impl FnMut(usize) -> usize {
    let mut state = 7_u64;
    move |below| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    }
}

/// How many whole frames of headers there are after a preface.
fn blocks(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    bytes = bytes.get(START.len()..).unwrap_or_default();
    while let Some(head) = Head::read(bytes)
        && let Some(rest) = bytes.get(HEAD + head.length..)
    {
        (count, bytes) = (count + usize::from(head.kind == HEADERS), rest);
    }
    count
}

/// What another encoder makes of many requests, with its own table and its own choice of codes.
#[test]
fn what_a_real_client_sends_is_read() {
    use tokio::io::AsyncReadExt as _;

    let mut number = numbers();
    let mut requests = Vec::new();
    for _ in 0..90 {
        let mut request = http::Request::builder().uri(format!("https://a.test/{}", number(9)));
        for _ in 0..number(40) {
            let value: String = (0..number(120))
                .map(|_| char::from(b' ' + u8::try_from(number(94)).unwrap()))
                .collect();
            request = request.header(format!("x-{}", number(30)), value);
        }
        requests.push(request.body(()).unwrap());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let sent = runtime.block_on(async {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        let (mut client, connection) = h2::client::handshake(ours).await.unwrap();
        let mut answers = Vec::new();
        for request in requests {
            answers.push(client.send_request(request, true).unwrap().0);
        }
        let mut sent = Vec::new();
        let reading = async {
            while blocks(&sent) < 90 {
                theirs.read_buf(&mut sent).await.unwrap();
            }
        };
        tokio::select! {
            _ = connection => panic!("the client gave up"),
            () = reading => {}
        }
        sent
    });
    let frames = sent.strip_prefix(START).unwrap();
    assert!(frames.len() > 50_000, "{}", frames.len());
    assert_eq!(handed_on(frames), (frames.to_vec(), Ok(())));
}
