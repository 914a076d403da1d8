//! The bytes of commands, outcomes and snapshots.
//!
//! The layout is bincode's standard one (little endian, variable-length integers, a length before each string and list),
//! written through a small trait of our own, so that every field order and every tag is spelled out beside its type and
//! types of other crates can take part. Frozen: a tag is never given a second meaning, a field is never moved; a new shape
//! gets a new tag. `tests/vectors/` holds the bytes of every action, outcome and of a snapshot.

mod token_types;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// The first byte of an encoded command or outcome.
pub const FORMAT_VERSION: u8 = 1;

/// Why bytes are not a command, an outcome or a snapshot of a version that this build knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The first byte names a format that this build does not know.
    #[error("format version {found} is not known here; this build reads version {FORMAT_VERSION}")]
    Version {
        /// The version byte.
        found: u8,
    },
    /// A tag that this build does not know: written by a newer one, or damaged.
    #[error("{what} has no variant with tag {tag}; it was written by a newer version, or is damaged")]
    UnknownTag {
        /// The type that was being read.
        what: &'static str,
        /// The tag found.
        tag: u64,
    },
    /// The bytes end before the value does.
    #[error("the bytes end inside {what}")]
    Short {
        /// The type that was being read.
        what: &'static str,
    },
    /// A value was read, and bytes are left over.
    #[error("{count} bytes follow the end of the value")]
    Trailing {
        /// How many.
        count: usize,
    },
    /// The bytes are of the right length but not of the right form.
    #[error("{what} is malformed")]
    Malformed {
        /// The type that was being read.
        what: &'static str,
    },
    /// The checksum at the end does not belong to the bytes before it.
    #[error("the checksum does not match: the bytes are damaged")]
    Checksum,
    /// The bytes could not be read from where they come from.
    #[error("reading failed: {message}")]
    Read {
        /// What the reader said.
        message: String,
    },
}

/// What is left to decode.
#[derive(Debug)]
pub(crate) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next `count` bytes; checked before anything is allocated for them.
    fn bytes(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(DecodeError::Short { what })?;
        self.rest = rest;
        Ok(taken)
    }

    fn number<T: bincode::Decode<()>>(&mut self, what: &'static str) -> Result<T, DecodeError> {
        let (value, used) = bincode::decode_from_slice(self.rest, bincode::config::standard())
            .map_err(|_| DecodeError::Malformed { what })?;
        self.bytes(used, what)?;
        Ok(value)
    }

    /// A value that another crate reads off the front.
    pub(crate) fn part<T>(
        &mut self,
        what: &'static str,
        take: impl FnOnce(&mut &'a [u8]) -> Option<T>,
    ) -> Result<T, DecodeError> {
        take(&mut self.rest).ok_or(DecodeError::Malformed { what })
    }

    fn finish(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            count => Err(DecodeError::Trailing { count }),
        }
    }
}

/// A value with a frozen form in bytes.
pub(crate) trait Wire: Sized {
    fn put(&self, out: &mut Vec<u8>);
    fn take(input: &mut Input<'_>) -> Result<Self, DecodeError>;
}

/// The version byte, then the value.
pub(crate) fn encode<T: Wire>(value: &T) -> Vec<u8> {
    let mut out = vec![FORMAT_VERSION];
    value.put(&mut out);
    out
}

/// The reverse of [`encode`]; every byte must be used.
pub(crate) fn decode<T: Wire>(bytes: &[u8]) -> Result<T, DecodeError> {
    let mut input = Input::new(bytes);
    match u8::take(&mut input)? {
        FORMAT_VERSION => {}
        found => return Err(DecodeError::Version { found }),
    }
    let value = T::take(&mut input)?;
    input.finish()?;
    Ok(value)
}

/// A value without a version byte, as inside a snapshot's frames.
pub(crate) fn decode_bare<T: Wire>(bytes: &[u8]) -> Result<T, DecodeError> {
    let mut input = Input::new(bytes);
    let value = T::take(&mut input)?;
    input.finish()?;
    Ok(value)
}

/// Fields of a struct, in the order in which they are written.
macro_rules! wire_struct {
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl $crate::codec::Wire for $name {
            fn put(&self, out: &mut Vec<u8>) {
                $( $crate::codec::Wire::put(&self.$field, out); )*
            }
            fn take(input: &mut $crate::codec::Input<'_>) -> Result<Self, $crate::codec::DecodeError> {
                Ok(Self { $( $field: $crate::codec::Wire::take(input)? ),* })
            }
        }
    };
}
pub(crate) use wire_struct;

/// Variants of an enum with their tags: one byte, below 251, never renumbered.
macro_rules! wire_enum {
    ($name:ident { $( $tag:literal => $variant:ident
        $( ( $($tuple:ident),* ) )? $( { $($field:ident),* $(,)? } )? ),* $(,)? }) => {
        impl $crate::codec::Wire for $name {
            fn put(&self, out: &mut Vec<u8>) {
                match self {
                    $( Self::$variant $( ( $($tuple),* ) )? $( { $($field),* } )? => {
                        out.push($tag);
                        $( $( $crate::codec::Wire::put($tuple, out); )* )?
                        $( $( $crate::codec::Wire::put($field, out); )* )?
                    } )*
                }
            }
            fn take(input: &mut $crate::codec::Input<'_>) -> Result<Self, $crate::codec::DecodeError> {
                match <u8 as $crate::codec::Wire>::take(input)? {
                    $( $tag => Ok(Self::$variant
                        $( ( $( { let $tuple = $crate::codec::Wire::take(input)?; $tuple } ),* ) )?
                        $( { $( $field: $crate::codec::Wire::take(input)? ),* } )? ), )*
                    tag => Err($crate::codec::DecodeError::UnknownTag {
                        what: stringify!($name),
                        tag: u64::from(tag),
                    }),
                }
            }
        }
    };
}
pub(crate) use wire_enum;

macro_rules! wire_number {
    ($($number:ty),*) => { $(
        impl Wire for $number {
            fn put(&self, out: &mut Vec<u8>) {
                bincode::encode_into_std_write(self, out, bincode::config::standard())
                    .expect("a vector takes every byte");
            }
            fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
                input.number(stringify!($number))
            }
        }
    )* };
}
wire_number!(u32, u64, i64);

impl Wire for u8 {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }
    fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        input.bytes(1, "a byte")?.first().copied().ok_or(DecodeError::Short { what: "a byte" })
    }
}

impl Wire for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        match u8::take(input)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Malformed { what: "a flag" }),
        }
    }
}

impl<const N: usize> Wire for [u8; N] {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
    fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        let what = "a fixed array";
        Self::try_from(input.bytes(N, what)?).map_err(|_| DecodeError::Short { what })
    }
}

fn put_length(length: usize, out: &mut Vec<u8>) {
    u64::try_from(length).expect("a length fits 64 bits").put(out);
}

fn take_length(input: &mut Input<'_>, what: &'static str) -> Result<usize, DecodeError> {
    usize::try_from(u64::take(input)?).map_err(|_| DecodeError::Short { what })
}

/// Bytes as one run: a list of `u8` has the same layout but is read one by one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bytes;

impl Bytes {
    pub(crate) fn put(bytes: &[u8], out: &mut Vec<u8>) {
        put_length(bytes.len(), out);
        out.extend_from_slice(bytes);
    }
    pub(crate) fn take(input: &mut Input<'_>) -> Result<Vec<u8>, DecodeError> {
        let what = "bytes";
        let length = take_length(input, what)?;
        Ok(input.bytes(length, what)?.to_vec())
    }
}

impl Wire for String {
    fn put(&self, out: &mut Vec<u8>) {
        Bytes::put(self.as_bytes(), out);
    }
    fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        Self::from_utf8(Bytes::take(input)?).map_err(|_| DecodeError::Malformed { what: "text" })
    }
}

impl<T: Wire> Wire for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }
    fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        if bool::take(input)? { Ok(Some(T::take(input)?)) } else { Ok(None) }
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        put_length(self.len(), out);
        for value in self {
            value.put(out);
        }
    }
    fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        // Grown as elements arrive: a length in damaged bytes must not decide how much is allocated.
        let length = take_length(input, "a list")?;
        let mut list = Self::new();
        for _ in 0..length {
            list.push(T::take(input)?);
        }
        Ok(list)
    }
}

impl<T: Wire + Ord> Wire for BTreeSet<T> {
    fn put(&self, out: &mut Vec<u8>) {
        put_length(self.len(), out);
        for value in self {
            value.put(out);
        }
    }
    fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        Ok(Vec::<T>::take(input)?.into_iter().collect())
    }
}

impl<K: Wire + Ord, V: Wire> Wire for BTreeMap<K, V> {
    fn put(&self, out: &mut Vec<u8>) {
        put_length(self.len(), out);
        for (key, value) in self {
            key.put(out);
            value.put(out);
        }
    }
    fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        Ok(Vec::<(K, V)>::take(input)?.into_iter().collect())
    }
}

impl<T: Wire> Wire for Box<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.as_ref().put(out);
    }
    fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        Ok(Self::new(T::take(input)?))
    }
}

impl<T: Wire> Wire for Arc<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.as_ref().put(out);
    }
    fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        Ok(Self::new(T::take(input)?))
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }
    fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        Ok((A::take(input)?, B::take(input)?))
    }
}
