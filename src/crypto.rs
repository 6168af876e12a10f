//! The cryptography of the whole program: which library, and in which order key exchanges are offered.

use std::sync::{Arc, OnceLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// The one provider. Hybrid key exchange is offered last, so that no key share is made for it unless the peer asks.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER
        .get_or_init(|| {
            let mut provider = aws_lc_rs::default_provider();
            provider.kx_groups = vec![
                aws_lc_rs::kx_group::X25519,
                aws_lc_rs::kx_group::SECP256R1,
                aws_lc_rs::kx_group::SECP384R1,
                aws_lc_rs::kx_group::X25519MLKEM768,
            ];
            Arc::new(provider)
        })
        .clone()
}
