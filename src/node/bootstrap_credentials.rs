//! `etc/bootstrap.creds`: the first administrators of a new cluster, for those who set up machines by files.
//!
//! Lines `user@*=password` (contract section 1.11). The file must be readable by its owner alone, is honoured when the
//! cluster is founded, and is removed then: it holds passwords in the clear.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use circlet_token::UserName;

use super::founding::Administrator;
use crate::home::{self, HomeError};
use crate::secret::Secret;

/// The only mode with which the file is honoured.
const MODE: u32 = 0o600;

/// The administrators that the file names; none if there is no file.
pub(crate) fn read(file: &Path) -> Result<Vec<Administrator>, HomeError> {
    let Ok(metadata) = std::fs::metadata(file) else { return Ok(Vec::new()) };
    let damaged = |why: String| HomeError::Damaged {
        file: file.to_owned(),
        why,
        remedy: "write one line `name@*=password` for each administrator, or remove the file",
    };
    let mode = metadata.permissions().mode() & 0o7777;
    if mode != MODE {
        return Err(damaged(format!("its mode is {mode:03o}, and it is honoured with {MODE:03o} only")));
    }
    let secret = home::read_secret(file, "it names the first administrators")?;
    let text = secret.expose_text().ok_or_else(|| damaged("it is not UTF-8".to_owned()))?;
    let lines =
        text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .map(|(number, line)| parse(line).map_err(|why| damaged(format!("line {}: {why}", number + 1))))
        .collect()
}

fn parse(line: &str) -> Result<Administrator, &'static str> {
    let (who, password) = line.trim_end().split_once('=').ok_or("it has no `=`")?;
    let (name, host) = who.rsplit_once('@').unwrap_or((who, "*"));
    if host != "*" {
        return Err("an administrator can't be restricted to an address here; write `name@*=password`");
    }
    if password.is_empty() {
        return Err("the password is empty");
    }
    let name = UserName::parse(&name.to_lowercase()).map_err(|_| "it names no user")?;
    let email = format!("{name}@example.org");
    Ok(Administrator { name, email, password: Secret::from(password.to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::{parse, read};
    use std::os::unix::fs::PermissionsExt;

    fn parsed(line: &str) -> Result<(String, String), &'static str> {
        let administrator = parse(line)?;
        Ok((administrator.name.to_string(), administrator.password.expose_text().unwrap().to_owned()))
    }

    #[test]
    fn a_line_names_an_administrator() {
        let good = Ok(("root".to_owned(), "a=b@c".to_owned()));
        assert_eq!(parsed("Root@*=a=b@c"), good);
        assert_eq!(parsed("root=a=b@c"), good);
        for bad in ["root", "root@127.0.0.1=pw", "root@*=", "@*=pw"] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_file_must_be_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bootstrap.creds");
        assert!(read(&file).is_ok_and(|none| none.is_empty()));
        std::fs::write(&file, "one@*=1\n\n# two\ntwo@*=2\n").unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
        assert!(read(&file).err().unwrap().to_string().contains("its mode is 644"));
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        assert_eq!(read(&file).unwrap().len(), 2);
        std::fs::write(&file, "one@*=1\ntwo\n").unwrap();
        assert!(read(&file).err().unwrap().to_string().contains("line 2"));
    }
}
