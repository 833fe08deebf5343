//! [`MacKey`]: HMAC-SHA256 under a key that is prepared once.

use sha2::block_api::compress256;
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize as _, ZeroizeOnDrop, Zeroizing};

/// The length of a block of SHA-256, and of a code, in bytes.
const BLOCK: usize = 64;
pub(super) const CODE_LEN: usize = 32;

/// The state in which SHA-256 begins (FIPS 180-4, section 5.3.3).
const BEGIN: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// A key for HMAC-SHA256 (RFC 2104): the two states of the hash behind the blocks that HMAC makes of a key.
///
/// A code for an id is two blocks hashed from there. The crate `hmac` copies both states with their buffers for
/// each code, and overwrites the copies with zeros.
pub(super) struct MacKey {
    inner: [u32; 8],
    outer: [u32; 8],
}

impl MacKey {
    pub(super) fn new(secret: &[u8]) -> Self {
        let mut key = Zeroizing::new([0; BLOCK]);
        if secret.len() > BLOCK {
            key[..CODE_LEN].copy_from_slice(&Sha256::digest(secret));
        } else {
            key[..secret.len()].copy_from_slice(secret);
        }
        let behind = |pad: u8| {
            let block = Zeroizing::new(key.map(|byte| byte ^ pad));
            let mut state = BEGIN;
            compress256(&mut state, std::slice::from_ref(&*block));
            state
        };
        Self { inner: behind(0x36), outer: behind(0x5c) }
    }

    /// The code of a text.
    pub(super) fn code(&self, text: &[u8]) -> [u8; CODE_LEN] {
        finish(self.outer, &finish(self.inner, text))
    }
}

/// The hash of one block and a text, from the state behind the block.
fn finish(mut state: [u32; 8], text: &[u8]) -> [u8; CODE_LEN] {
    let (blocks, rest) = text.as_chunks::<BLOCK>();
    compress256(&mut state, blocks);
    // The padding: a one, zeros, and the number of bits, to the end of a block.
    let mut last = [[0; BLOCK]; 2];
    let bytes = last.as_flattened_mut();
    bytes[..rest.len()].copy_from_slice(rest);
    bytes[rest.len()] = 0x80;
    let bits = 8 * (BLOCK + text.len()) as u64;
    let count = if rest.len() + 1 + size_of_val(&bits) <= BLOCK { 1 } else { 2 };
    bytes[count * BLOCK - size_of_val(&bits)..count * BLOCK].copy_from_slice(&bits.to_be_bytes());
    compress256(&mut state, &last[..count]);
    let mut code = [0; CODE_LEN];
    for (bytes, word) in code.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    code
}

impl Drop for MacKey {
    fn drop(&mut self) {
        self.inner.zeroize();
        self.outer.zeroize();
    }
}

impl ZeroizeOnDrop for MacKey {}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit as _, Mac as _};

    use super::*;

    /// Keys around the length of a block, and texts around the lengths at which the padding takes a block more.
    #[test]
    fn codes_are_those_of_the_crate_hmac() {
        let bytes: Vec<_> = (0..300_u32).map(|n| (7 * n) as u8).collect();
        for key in [0, 1, 32, 63, 64, 65, 200] {
            let own = MacKey::new(&bytes[..key]);
            for len in (0..200).chain([255, 256]) {
                let mut theirs = Hmac::<Sha256>::new_from_slice(&bytes[..key]).unwrap();
                theirs.update(&bytes[..len]);
                assert_eq!(own.code(&bytes[..len]), *theirs.finalize().into_bytes(), "{key}, {len}");
            }
        }
    }
}
