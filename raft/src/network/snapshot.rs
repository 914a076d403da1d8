//! A snapshot on its way: a head, raw chunks, and word from the receiver while it installs.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use openraft::AsyncRuntime;
use openraft::alias::{SnapshotOf, VoteOf};
use openraft::errors::{NetworkError, StreamingError};
use openraft::raft::SnapshotResponse;
use tokio_util::bytes::Bytes;

use crate::folder::Folder;
use crate::network::wire::{SnapshotHead, SnapshotSaid, decode, encode};
use crate::network::{Channel, FrameStream};
use crate::snapshot_file::SnapshotFile;
use crate::types::Types;

const CHUNK_BYTES: usize = 256 << 10;

/// Sends a snapshot and waits until it is installed. Silence ends it, length doesn't.
pub(crate) async fn send<R: AsyncRuntime>(
    channel: Channel,
    vote: VoteOf<Types<R>>,
    snapshot: SnapshotOf<Types<R>, SnapshotFile>,
    silence: Duration,
) -> Result<SnapshotResponse<Types<R>>, StreamingError<Types<R>>> {
    let sending = send_file::<R>(channel, vote, snapshot, silence);
    let vote = sending.await.map_err(|error| StreamingError::Network(NetworkError::new(&error)))?;
    Ok(SnapshotResponse::new(vote))
}

async fn send_file<R: AsyncRuntime>(
    mut channel: Channel,
    vote: VoteOf<Types<R>>,
    snapshot: SnapshotOf<Types<R>, SnapshotFile>,
    silence: Duration,
) -> io::Result<VoteOf<Types<R>>> {
    let mut file = snapshot.snapshot.open()?;
    let bytes = snapshot.snapshot.bytes();
    let head = encode(&SnapshotHead::<R> { vote, meta: snapshot.meta, bytes })?;
    in_time::<R, _, _>(silence, channel.tx.send(head)).await??;
    let mut left = bytes;
    while left > 0 {
        let size = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        let mut chunk = vec![0; size];
        file.read_exact(&mut chunk)?;
        in_time::<R, _, _>(silence, channel.tx.send(Bytes::from(chunk))).await??;
        left -= size as u64;
    }
    loop {
        let frame = next_frame::<R>(&mut channel.rx, silence).await?;
        match decode::<SnapshotSaid<R>>(&frame)? {
            SnapshotSaid::Working => {}
            SnapshotSaid::Installed(vote) => return Ok(vote),
            SnapshotSaid::Failed(reason) => return Err(io::Error::other(reason)),
        }
    }
}

/// Receives a snapshot into a file of `folder`.
pub(crate) async fn receive<R: AsyncRuntime>(
    rx: &mut FrameStream,
    folder: &Arc<dyn Folder>,
    silence: Duration,
) -> io::Result<(SnapshotHead<R>, SnapshotFile)> {
    let head: SnapshotHead<R> = decode(&next_frame::<R>(rx, silence).await?)?;
    let (snapshot, mut file) = SnapshotFile::incoming(folder)?;
    let mut got = 0;
    while got < head.bytes {
        let chunk = next_frame::<R>(rx, silence).await?;
        got += chunk.len() as u64;
        if chunk.is_empty() || got > head.bytes {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the chunks don't add up to the snapshot",
            ));
        }
        file.write_all(&chunk)?;
    }
    file.flush()?;
    Ok((head, snapshot.received(got)))
}

async fn next_frame<R: AsyncRuntime>(
    rx: &mut FrameStream,
    silence: Duration,
) -> io::Result<tokio_util::bytes::BytesMut> {
    match in_time::<R, _, _>(silence, rx.next()).await? {
        Some(frame) => frame,
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

async fn in_time<R: AsyncRuntime, T, F: Future<Output = T> + Send>(wait: Duration, work: F) -> io::Result<T> {
    R::timeout(wait, work).await.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the peer is silent"))
}
