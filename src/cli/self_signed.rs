//! A certificate to try things with: for this machine alone, trusted by nobody until told to.

use jiff::Timestamp;
use jiff::ToSpan as _;
use jiff::tz::TimeZone;
use rcgen::CertificateParams;
use rcgen::DnType;
use rcgen::ExtendedKeyUsagePurpose;
use rcgen::KeyPair;
use rcgen::KeyUsagePurpose;
use rcgen::date_time_ymd;

/// Whom it names.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A certificate and its private key, both in PEM.
pub(crate) struct SelfSigned {
    pub(crate) certificate: String,
    pub(crate) private_key: String,
}

/// Makes one for `localhost`, `127.0.0.1` and `::1`, valid for a year.
pub(crate) fn make(now: Timestamp) -> Result<SelfSigned, rcgen::Error> {
    let mut params = CertificateParams::new(NAMES.map(str::to_owned))?;
    params.distinguished_name.push(DnType::CommonName, "keygate, self-signed");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let today = now.to_zoned(TimeZone::UTC).date();
    // Clocks differ: it begins a day early.
    let (from, until) = (today.saturating_sub(1.day()), today.saturating_add(365.days()));
    params.not_before = date_time_ymd(from.year().into(), part(from.month()), part(from.day()));
    params.not_after = date_time_ymd(until.year().into(), part(until.month()), part(until.day()));
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok(SelfSigned { certificate: certificate.pem(), private_key: key.serialize_pem() })
}

/// Of a date, so never negative.
fn part(number: i8) -> u8 {
    u8::try_from(number).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_this_machine_and_is_valid_for_a_year() {
        let now = "2028-02-29T12:00:00Z".parse().unwrap();
        let made = make(now).unwrap();
        let (_, pem) = x509_parser::pem::parse_x509_pem(made.certificate.as_bytes()).unwrap();
        let certificate = pem.parse_x509().unwrap();
        let names = certificate.subject_alternative_name().unwrap().unwrap();
        assert_eq!(names.value.general_names.len(), NAMES.len());
        let until = certificate.validity().not_after.timestamp() - now.as_second();
        assert_eq!(until, 364 * 86_400 + 43_200);
        assert!(made.private_key.contains("PRIVATE KEY"));
    }
}
