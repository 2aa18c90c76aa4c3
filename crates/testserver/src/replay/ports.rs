//! Addresses in commands and replies, which a replay turns into such of loopback (pure).

use std::net::IpAddr;

use portolan_proto::Verb;

/// The address in place of one that is not the server's own.
const ELSEWHERE: &str = "127,0,0,2";

/// Returns the port that the argument of EPRT or PORT names.
pub(super) fn announced(verb: Verb, argument: &str) -> Option<u16> {
    if verb == Verb::Eprt {
        let delimiter = argument.chars().next()?;
        return argument.split(delimiter).nth(3)?.parse().ok();
    }
    let mut bytes = argument.split(',').skip(4).map(|number| number.trim().parse::<u8>().ok());
    Some(u16::from_be_bytes([bytes.next()??, bytes.next()??]))
}

/// Returns the reply to PASV or EPSV with `port` at the address `local`; a recorded address that was not that of the
/// recorded `peer` becomes another one of loopback.
pub(super) fn passive_reply(reply: &[u8], peer: &str, local: IpAddr, port: u16) -> Vec<u8> {
    let text = String::from_utf8_lossy(reply);
    let [high, low] = port.to_be_bytes();
    if text.starts_with("229") {
        return replaced(&text, "|||", '|', &port.to_string()).unwrap_or_else(|| reply.to_vec());
    }
    let Some(start) = text.find(|c: char| c.is_ascii_digit()).filter(|_| text.starts_with("227"))
    else {
        return reply.to_vec();
    };
    let after = text.get(start + 3..).unwrap_or_default();
    let Some(numbers) = after.find(|c: char| c.is_ascii_digit()) else { return reply.to_vec() };
    let from = start + 3 + numbers;
    let rest = text.get(from..).unwrap_or_default();
    let length = rest.find(|c: char| !(c.is_ascii_digit() || c == ',')).unwrap_or(rest.len());
    let parts: Vec<_> = rest.get(..length).unwrap_or_default().split(',').collect();
    let [one, two, three, four, _, _] = parts.as_slice() else { return reply.to_vec() };
    let is_own = format!("{one}.{two}.{three}.{four}") == peer;
    let ip = match local {
        IpAddr::V4(ip) if is_own => ip.to_string().replace('.', ","),
        _ => ELSEWHERE.to_owned(),
    };
    let head = text.get(..from).unwrap_or_default();
    let tail = rest.get(length..).unwrap_or_default();
    format!("{head}{ip},{high},{low}{tail}").into_bytes()
}

/// Returns `text` with what is between `before` and `after` replaced by `new`.
fn replaced(text: &str, before: &str, after: char, new: &str) -> Option<Vec<u8>> {
    let (head, rest) = text.split_once(before)?;
    let (_, tail) = rest.split_once(after)?;
    Some(format!("{head}{before}{new}{after}{tail}").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_and_replaced() {
        assert_eq!(announced(Verb::Eprt, "|1|192.0.2.7|4000|"), Some(4000));
        assert_eq!(announced(Verb::Port, "192,0,2,7,1,2"), Some(258));
        for (verb, text) in
            [(Verb::Eprt, ""), (Verb::Eprt, "|1|x|"), (Verb::Port, "1,2,3,4,5"), (Verb::Port, "a")]
        {
            assert_eq!(announced(verb, text), None, "{text}");
        }
        let local = "127.0.0.1".parse().unwrap();
        for (reply, played) in [
            ("229 Extended (|||4000|)\r\n", "229 Extended (|||258|)\r\n"),
            ("227 Entering (192,0,2,7,15,160).\r\n", "227 Entering (127,0,0,1,1,2).\r\n"),
            ("227 Entering (10,0,0,7,15,160).\r\n", "227 Entering (127,0,0,2,1,2).\r\n"),
            ("227 =192,0,2,7,15,160\r\n", "227 =127,0,0,1,1,2\r\n"),
            ("227 nonsense\r\n", "227 nonsense\r\n"),
            ("227 1,2\r\n", "227 1,2\r\n"),
            ("229 nothing\r\n", "229 nothing\r\n"),
            ("500 no\r\n", "500 no\r\n"),
        ] {
            let made = passive_reply(reply.as_bytes(), "192.0.2.7", local, 258);
            assert_eq!(String::from_utf8(made).unwrap(), played);
        }
    }
}
