//! The words of a token, in their text form: what a claim says is what the log says.

use circlet_token::{Algorithm, Audience, KeyId, Lifetime, Scope, ServiceId, Subject, TokenId, UserName};

use super::{DecodeError, Input, Wire};

macro_rules! wire_text {
    ($way:ident: $($name:ident),*) => { $(
        impl Wire for $name {
            fn put(&self, out: &mut Vec<u8>) {
                self.to_string().put(out);
            }
            fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
                Self::$way(&String::take(input)?).map_err(|_| DecodeError::Malformed { what: stringify!($name) })
            }
        }
    )* };
}
wire_text!(parse: KeyId, ServiceId, Subject, UserName);
// What was accepted once stays readable, however the grammar for requests changes.
wire_text!(read: Audience, Scope);

impl Wire for TokenId {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }
    fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        Ok(Self(Wire::take(input)?))
    }
}

/// Seconds; 0 is for ever.
impl Wire for Lifetime {
    fn put(&self, out: &mut Vec<u8>) {
        self.secs().unwrap_or(0).put(out);
    }
    fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        Ok(Self::from_secs(u64::take(input)?))
    }
}

impl Wire for Algorithm {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(match self {
            Self::EdDsa => 1,
            Self::Rs256 => 2,
            Self::Es256 => 3,
        });
    }
    fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        match u8::take(input)? {
            1 => Ok(Self::EdDsa),
            2 => Ok(Self::Rs256),
            3 => Ok(Self::Es256),
            tag => Err(DecodeError::UnknownTag { what: "Algorithm", tag: u64::from(tag) }),
        }
    }
}
