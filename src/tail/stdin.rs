//! Standard input, read by a thread that may wait for it; at most two chunks are under way.

use std::io::{ErrorKind, Read};
use std::thread;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::sink::{Begun, Sink};
use super::{CHUNK_BYTES, MAX_LINE_BYTES, Seen};

/// Hands out lines until the input ends or reading is stopped.
pub(super) async fn run(sink: Sink, stop: CancellationToken) {
    read(std::io::stdin(), sink, stop).await;
}

/// The thread stays in its last read when reading is stopped: nothing can take it out of there.
async fn read(mut input: impl Read + Send + 'static, mut sink: Sink, stop: CancellationToken) {
    let (sender, mut chunks) = mpsc::channel::<Vec<u8>>(1);
    let reader = thread::Builder::new().name("logs stdin".into()).spawn(move || {
        loop {
            let mut chunk = vec![0; MAX_LINE_BYTES];
            match input.read(&mut chunk) {
                Ok(0) => return,
                Ok(count) => chunk.truncate(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return tracing::warn!(%error, "cannot read standard input"),
            }
            if sender.blocking_send(chunk).is_err() {
                return;
            }
        }
    });
    if let Err(error) = reader {
        return sink.status.set_problem("stdin", Some(error.to_string()));
    }
    sink.status.set_up(true);
    let (mut begun, mut kept) = (Begun::default(), Vec::with_capacity(CHUNK_BYTES));
    loop {
        let chunk = tokio::select! {
            () = stop.cancelled() => break,
            chunk = chunks.recv() => chunk,
        };
        let Some(chunk) = chunk else {
            sink.end(&kept, &mut begun, &Seen::default());
            break;
        };
        kept.extend_from_slice(&chunk);
        let done = sink.chunk(&kept, &mut begun, &Seen::default());
        kept.drain(..done);
        sink.rest();
        tokio::task::yield_now().await;
    }
    sink.rest();
    sink.status.set_up(false);
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::sync::Arc;

    use super::*;
    use crate::tail::tests::Taken;
    use crate::tail::{Envelope, Status};

    #[tokio::test]
    async fn lines_come_to_the_last_one_without_its_end() {
        let taken = Taken::default();
        let sink = Sink::new(Box::new(taken.clone()), Arc::new(Status::default()), Envelope::Plain);
        let text = format!("one\n{}\nlast", "x".repeat(3 * MAX_LINE_BYTES));
        read(Cursor::new(text), sink, CancellationToken::new()).await;
        let found = taken.take();
        assert_eq!(found.len(), 3);
        assert_eq!((found[0].as_str(), found[2].as_str()), ("one", "last (cut)"));
        assert!(found[1].starts_with("TooLong"));
    }
}
