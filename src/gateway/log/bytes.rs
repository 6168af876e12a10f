//! Bytes found in short text, eight at a time. Most values of a line are shorter than what it costs to call a search.

const LOWEST: u64 = u64::from_le_bytes([0x01; 8]);
const HIGHEST: u64 = u64::from_le_bytes([0x80; 8]);

/// The highest bit of each byte of `word` that is `byte`. Bits above the lowest one that is set may be wrong.
#[inline]
fn hits(word: [u8; 8], byte: u8) -> u64 {
    let zero_where_equal = u64::from_le_bytes(word) ^ (LOWEST * u64::from(byte));
    zero_where_equal.wrapping_sub(LOWEST) & !zero_where_equal & HIGHEST
}

/// Where a byte stands first.
#[inline]
pub(in crate::gateway) fn first(byte: u8, text: &[u8]) -> Option<usize> {
    // Of most values the end is as near as that; what lies behind is worth a call.
    let Some((near, far)) = text.split_first_chunk::<16>() else {
        return memchr::memchr(byte, text);
    };
    let (words, _) = near.as_chunks::<8>();
    let one = hits(words[0], byte);
    if one != 0 {
        return Some(one.trailing_zeros() as usize / 8);
    }
    let two = hits(words[1], byte);
    if two != 0 {
        return Some(8 + two.trailing_zeros() as usize / 8);
    }
    Some(near.len() + memchr::memchr(byte, far)?)
}

/// Whether the text holds one of these bytes.
#[inline]
pub(in crate::gateway) fn holds<const N: usize>(text: &[u8], bytes: [u8; N]) -> bool {
    let in_word = |word: &[u8; 8]| bytes.iter().fold(0, |all, byte| all | hits(*word, *byte)) != 0;
    match text.last_chunk() {
        // The last eight may overlap those before them.
        Some(last) => in_word(last) || text.as_chunks().0.iter().any(in_word),
        None => text.iter().any(|byte| bytes.contains(byte)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn as_looking_at_each(text in proptest::collection::vec(prop_oneof![0u8..4, 126u8..131, Just(255)], 0..60), byte in prop_oneof![0u8..4, 126u8..131]) {
            prop_assert_eq!(first(byte, &text), text.iter().position(|other| *other == byte));
            prop_assert_eq!(holds(&text, [byte, 7]), text.contains(&byte));
        }
    }
}
