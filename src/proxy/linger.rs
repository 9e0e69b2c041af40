//! Closing a connection so that its last answer arrives.
//!
//! A socket that is closed with unread input resets the connection, and a reset overtakes the
//! answer. So our side is shut first, and what still comes is read away for a moment.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};

const LONGEST: Duration = Duration::from_secs(1);
const MOST: usize = 1024 * 1024;

/// Reads until the other side closes too, within bounds.
pub(super) async fn linger(mut io: impl AsyncRead + Unpin) {
    let reading = async {
        let mut buffer = vec![0; 16 * 1024];
        let mut total = 0;
        while let Ok(read @ 1..) = io.read(&mut buffer).await {
            total += read;
            if total > MOST {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(LONGEST, reading).await;
}
