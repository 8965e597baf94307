//! `portcullis hash-password`: reads a password and writes the line of a user file for it.

use std::io::{IsTerminal, stdin};

use argon2::Argon2;
use argon2::password_hash::PasswordHasher;
use zeroize::Zeroizing;

use super::Output;
use crate::authn::credential::API_KEY_USER;
use crate::authn::identity::Subject;

/// Read a password and write the line of a user file for it.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct HashPasswordArguments {
    /// The user's name.
    name: String,
    /// The form of the hash.
    #[arg(long, value_enum, default_value_t = Form::Argon2id)]
    form: Form,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Form {
    /// Argon2id with 19 MiB and two passes: the recommended choice.
    Argon2id,
    /// bcrypt with cost 12, for files that other programs read; passwords of at most 72 bytes.
    Bcrypt,
}

const BCRYPT_COST: u32 = 12;

const LONGEST_BCRYPT_PASSWORD: usize = 72;

pub(super) fn execute(arguments: &HashPasswordArguments) -> Output {
    match line(arguments) {
        Ok(line) => Output::success(line),
        Err(complaint) => Output::failure(format!("error: {complaint}")),
    }
}

fn line(arguments: &HashPasswordArguments) -> Result<String, String> {
    let HashPasswordArguments { name, form } = arguments;
    if Subject::new(name).is_none() || name.contains(':') || name.starts_with('#') || name == API_KEY_USER {
        return Err(
            "a name has no colon, no control characters, no white space at either end, and is not `apikey`"
                .into(),
        );
    }
    let password = read_password()?;
    if password.is_empty() {
        return Err("the password is empty".into());
    }
    let hash = match form {
        Form::Argon2id => Argon2::default()
            .hash_password(password.as_bytes())
            .map(|hash| hash.to_string())
            .map_err(|error| error.to_string())?,
        Form::Bcrypt if password.len() > LONGEST_BCRYPT_PASSWORD => {
            return Err("bcrypt reads only the first 72 bytes of a password: use argon2id".into());
        }
        Form::Bcrypt => bcrypt::hash(password.as_bytes(), BCRYPT_COST).map_err(|error| error.to_string())?,
    };
    Ok(format!("{name}:{hash}"))
}

/// From a terminal without showing it, twice; otherwise the first line of standard input.
fn read_password() -> Result<Zeroizing<String>, String> {
    if !stdin().is_terminal() {
        let mut text = Zeroizing::new(String::new());
        stdin().read_line(&mut text).map_err(|error| error.to_string())?;
        return Ok(Zeroizing::new(text.trim_end_matches(['\n', '\r']).to_owned()));
    }
    let ask = |prompt: &str| {
        rpassword::prompt_password(prompt).map(Zeroizing::new).map_err(|error| error.to_string())
    };
    let password = ask("Password: ")?;
    if *password != *ask("Again: ")? {
        return Err("the two passwords differ".into());
    }
    Ok(password)
}
