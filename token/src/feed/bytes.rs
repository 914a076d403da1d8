//! Numbers and runs of bytes, as the feed writes them: numbers in seven bits at a time, least first.

use crate::ServiceId;

/// Appends a number.
pub(super) fn put_number(mut number: u64, out: &mut Vec<u8>) {
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or(0);
        number >>= 7;
        if number == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Appends a run of bytes behind its length.
pub(super) fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_number(u64::try_from(bytes.len()).unwrap_or(u64::MAX), out);
    out.extend_from_slice(bytes);
}

/// Takes a number off the front; `None` if it is cut off, too large, or not in its one shortest spelling.
pub(super) fn take_number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0_u32..64).step_by(7) {
        let [byte] = take(rest)?;
        let bits = u64::from(byte & 0x7f);
        let moved = bits.checked_shl(shift).filter(|moved| moved.checked_shr(shift) == Some(bits))?;
        number |= moved;
        if byte & 0x80 == 0 {
            return (byte != 0 || shift == 0).then_some(number);
        }
    }
    None
}

/// Takes a run of bytes behind its length.
pub(super) fn take_bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_number(rest)?).ok()?;
    let (run, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(run)
}

/// Takes a service id.
pub(super) fn take_issuer(rest: &mut &[u8]) -> Option<ServiceId> {
    ServiceId::parse(std::str::from_utf8(take_bytes(rest)?).ok()?).ok()
}

/// Takes so many bytes.
pub(super) fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (run, behind) = rest.split_first_chunk::<N>()?;
    *rest = behind;
    Some(*run)
}
