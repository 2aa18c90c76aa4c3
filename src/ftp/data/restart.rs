//! The position at which a transfer begins: REST (RFC 3659, 5), and the way to take it back.

use crate::{
    fault::Outcome,
    ftp::control::{Command, Control},
};

/// Sends REST for an `offset` that is not 0.
///
/// # Errors
/// Where the server refuses it.
pub(super) async fn restart(control: &mut Control, offset: u64) -> Outcome<()> {
    if offset == 0 {
        return Ok(());
    }
    let reply = control.ask(&rest(offset)).await?;
    if reply.is_halfway() { Ok(()) } else { Err(reply.fault()) }
}

/// Takes back the position that REST has set, after a transfer that did not begin. Some servers keep it for the next
/// transfer, whose bytes would then come from the middle of the file. One that refuses is not used again.
pub(super) async fn forget_position(control: &mut Control) {
    match control.ask(&rest(0)).await {
        Ok(reply) if !reply.is_halfway() => control.hang_up(),
        // A connection that has failed is replaced by itself.
        Ok(_) | Err(_) => {}
    }
}

/// REST (RFC 3659, 5): where the next transfer begins.
pub(super) fn rest(offset: u64) -> Command {
    Command::from_safe(format!("REST {offset}"))
}
