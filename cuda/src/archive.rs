//! The compiled kernels inside the binary.
//!
//! Layout, little-endian: 15 bytes of magic, u64 identity of the sources, u32 number of entries; per entry a name (u8 length, bytes), an
//! i32 architecture (90 is machine code for sm_90, −90 is PTX for compute_90), u64 unpacked and packed lengths, and the packed
//! bytes (zlib).

use crate::CudaError;
use flate2::read::ZlibDecoder;
use std::io::Read;

const MAGIC: &[u8] = b"DUALNET-CUDA-1\n";
/// No family's code comes near it; a larger length is damage.
const LARGEST: u64 = 64 << 20;

/// Compiled families of kernels.
#[derive(Clone, Debug)]
pub struct Archive<'a> {
    entries: Vec<Entry<'a>>,
}

#[derive(Clone, Debug)]
struct Entry<'a> {
    family: &'a str,
    /// As in the file: negative for PTX.
    architecture: i32,
    unpacked: u64,
    packed: &'a [u8],
}

impl Archive<'static> {
    /// What this build carries.
    ///
    /// # Errors
    /// [`CudaError::NoKernels`] when it was built without, [`CudaError::Archive`] when it is damaged.
    pub fn embedded() -> Result<Self, CudaError> {
        Self::parse(include_bytes!(concat!(env!("OUT_DIR"), "/kernels.bin")))
    }
}

impl<'a> Archive<'a> {
    /// Reads the table of an archive; nothing is unpacked.
    ///
    /// # Errors
    /// As [`Archive::embedded`]; an empty file is one without kernels.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, CudaError> {
        if bytes.is_empty() {
            return Err(CudaError::NoKernels);
        }
        let mut rest = bytes
            .strip_prefix(MAGIC)
            .ok_or(CudaError::Archive("it has another format"))?;
        take::<8>(&mut rest)?;
        let count = u32::from_le_bytes(take(&mut rest)?);
        let mut entries = Vec::new();
        for _ in 0..count {
            let [length] = take(&mut rest)?;
            let family = std::str::from_utf8(take_slice(&mut rest, u64::from(length))?)
                .map_err(|_| CudaError::Archive("a name is not UTF-8"))?;
            let architecture = i32::from_le_bytes(take(&mut rest)?);
            let unpacked = u64::from_le_bytes(take(&mut rest)?);
            let packed = u64::from_le_bytes(take(&mut rest)?);
            let packed = take_slice(&mut rest, packed)?;
            if unpacked > LARGEST {
                return Err(CudaError::Archive("a length is out of range"));
            }
            entries.push(Entry {
                family,
                architecture,
                unpacked,
                packed,
            });
        }
        if rest.is_empty() {
            Ok(Self { entries })
        } else {
            Err(CudaError::Archive("it is too long"))
        }
    }

    /// Families and architectures: positive for machine code, negative for PTX.
    pub fn contents(&self) -> impl Iterator<Item = (&'a str, i32)> {
        self.entries.iter().map(|entry| (entry.family, entry.architecture))
    }

    /// What a GPU of compute capability `major.minor` loads for a family: machine code of the same major and the nearest minor
    /// number not above its own, otherwise PTX that it compiles itself (with a zero byte at its end).
    ///
    /// # Errors
    /// [`CudaError::Unsupported`] when neither fits, [`CudaError::Archive`] when it is damaged.
    pub fn code(&self, family: &str, major: i32, minor: i32) -> Result<Vec<u8>, CudaError> {
        let capability = major.saturating_mul(10).saturating_add(minor);
        let of_family = || self.entries.iter().filter(|entry| entry.family == family);
        let machine_code = of_family()
            .filter(|entry| entry.architecture / 10 == major && (0..=capability).contains(&entry.architecture))
            .max_by_key(|entry| entry.architecture);
        let portable = || {
            of_family()
                .filter(|entry| entry.architecture < 0 && -entry.architecture <= capability)
                .min_by_key(|entry| entry.architecture)
        };
        match machine_code.or_else(portable) {
            Some(entry) => entry.unpack(),
            None if of_family().next().is_none() => Err(CudaError::Archive("a family is missing")),
            None => Err(CudaError::Unsupported { major, minor }),
        }
    }
}

impl Entry<'_> {
    fn unpack(&self) -> Result<Vec<u8>, CudaError> {
        let damaged = CudaError::Archive("an entry does not unpack");
        let mut code = Vec::new();
        let mut reader = ZlibDecoder::new(self.packed).take(self.unpacked + 1);
        match reader.read_to_end(&mut code) {
            Ok(length) if length as u64 == self.unpacked => {}
            _ => return Err(damaged),
        }
        if self.architecture < 0 {
            code.push(0);
        }
        Ok(code)
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], CudaError> {
    let (head, tail) = rest
        .split_first_chunk::<N>()
        .ok_or(CudaError::Archive("it is cut off"))?;
    *rest = tail;
    Ok(*head)
}

fn take_slice<'a>(rest: &mut &'a [u8], length: u64) -> Result<&'a [u8], CudaError> {
    let length = usize::try_from(length).map_err(|_| CudaError::Archive("a length is out of range"))?;
    let (head, tail) = rest
        .split_at_checked(length)
        .ok_or(CudaError::Archive("it is cut off"))?;
    *rest = tail;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::ZlibEncoder};
    use std::io::Write;

    fn archive(entries: &[(&str, i32, &[u8])]) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend(7_u64.to_le_bytes());
        out.extend((entries.len() as u32).to_le_bytes());
        for (family, architecture, code) in entries {
            let mut packed = ZlibEncoder::new(Vec::new(), Compression::best());
            packed.write_all(code).expect("memory");
            let packed = packed.finish().expect("memory");
            out.push(family.len() as u8);
            out.extend(family.as_bytes());
            out.extend(architecture.to_le_bytes());
            out.extend((code.len() as u64).to_le_bytes());
            out.extend((packed.len() as u64).to_le_bytes());
            out.extend(packed);
        }
        out
    }

    fn chosen(major: i32, minor: i32) -> Result<Vec<u8>, CudaError> {
        let bytes = archive(&[
            ("pau", 80, b"80"),
            ("pau", 86, b"86"),
            ("pau", 90, b"90"),
            ("pau", 120, b"120"),
            ("pau", -90, b"ptx"),
        ]);
        Archive::parse(&bytes)?.code("pau", major, minor)
    }

    #[test]
    fn a_gpu_gets_the_nearest_machine_code_of_its_generation() {
        assert_eq!(chosen(8, 0).unwrap(), b"80");
        assert_eq!(chosen(8, 6).unwrap(), b"86");
        assert_eq!(chosen(8, 9).unwrap(), b"86");
        assert_eq!(chosen(12, 1).unwrap(), b"120");
    }

    #[test]
    fn a_later_generation_gets_ptx_with_a_zero_at_its_end_and_an_earlier_one_an_error() {
        assert_eq!(chosen(10, 3).unwrap(), b"ptx\0");
        assert_eq!(chosen(13, 0).unwrap(), b"ptx\0");
        assert_eq!(chosen(7, 5), Err(CudaError::Unsupported { major: 7, minor: 5 }));
    }

    #[test]
    fn damage_is_an_error() {
        let whole = archive(&[("pau", 80, b"some code")]);
        assert!(Archive::parse(&whole).is_ok());
        for length in 1..whole.len() {
            assert!(Archive::parse(&whole[..length]).is_err(), "{length}");
        }
        let mut longer = whole.clone();
        longer.push(0);
        assert!(Archive::parse(&longer).is_err());
        let mut lying = whole;
        let unpacked = MAGIC.len() + 12 + 1 + 3 + 4;
        lying[unpacked] += 1;
        assert!(Archive::parse(&lying).unwrap().code("pau", 8, 0).is_err());
        assert_eq!(Archive::parse(&[]).unwrap_err(), CudaError::NoKernels);
    }
}
