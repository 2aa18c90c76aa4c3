//! The start offset of a transfer: REST (RFC 3659, 5), and its cancellation.

use crate::control::{ControlConnection, FtpCommand};
use portolan_core::error::Result;
use portolan_proto::Verb;

/// Sends REST for an `offset` that is not 0.
///
/// # Errors
/// If the server refuses it.
pub(super) async fn restart(control: &mut ControlConnection, offset: u64) -> Result<()> {
    if offset == 0 {
        return Ok(());
    }
    let reply = control.ask(&rest(offset)).await?;
    if reply.is_halfway() { Ok(()) } else { Err(reply.fault()) }
}

/// Resets the offset that REST has set, after a transfer that did not begin. Some servers keep it for the next
/// transfer, whose data would then start in the middle of the file. A connection whose server refuses the reset is
/// closed.
pub(super) async fn forget_position(control: &mut ControlConnection) {
    match control.ask(&rest(0)).await {
        Ok(reply) if !reply.is_halfway() => control.close_abruptly(),
        // A failed connection is replaced automatically.
        Ok(_) | Err(_) => {}
    }
}

/// Returns the REST command (RFC 3659, 5), which sets the offset of the next transfer.
pub(super) fn rest(offset: u64) -> FtpCommand {
    FtpCommand::with(Verb::Rest, offset)
}
