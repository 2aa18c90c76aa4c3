use super::*;

const FILEZILLA: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<FileZilla3 version="3.66.1" platform="*nix"><Servers>
<Folder expanded="1">Clients
<Server><Host>ftp.example.org</Host><Port>2121</Port><Protocol>4</Protocol><Type>0</Type><User>me&amp;you</User>
<Pass encoding="base64">aHVudGVyMg==</Pass><Logontype>1</Logontype><PasvMode>MODE_ACTIVE</PasvMode>
<EncodingType>Custom</EncodingType><CustomEncoding>GBK</CustomEncoding><Name>My site &#252;</Name>
<RemoteDir>1 0 3 pub 5 a b c</RemoteDir></Server>
</Folder>
<Server><Host>::1</Host><Port>21</Port><Protocol>0</Protocol><Logontype>0</Logontype><Name>open</Name></Server>
<Server><Host>h</Host><Port>22</Port><Protocol>1</Protocol><Name>ssh</Name></Server>
<Server><Host>h</Host><Port>990</Port><Protocol>3</Protocol><User>u</User><Pass encoding="crypt">AAAA</Pass><Name>My site</Name></Server>
</Servers></FileZilla3>"#;

/// Returns `name url options password` of each site, and the names of those that are left out.
fn told(text: &str) -> (Vec<String>, Vec<String>) {
    let found = read(text).unwrap();
    let line = |site: &ImportedSite| {
        let options: Vec<_> = site.options.keys().map(|key| format!("{key} ")).collect();
        let password = site.password.as_ref().map_or("none", Secret::reveal);
        format!("{} {} {}{password}", site.name, site.url, options.concat())
    };
    let left_out = found.left_out.iter().map(|(name, why)| format!("{name}: {why}"));
    (found.sites.iter().map(line).collect(), left_out.collect())
}

#[test]
fn sites_of_filezilla_are_read_with_their_folders_and_entities() {
    let (sites, left_out) = told(FILEZILLA);
    assert_eq!(
        sites,
        [
            "My-site ftpes://me%26you@ftp.example.org:2121//pub/a%20b%20c encoding mode hunter2",
            "open ftp://[::1] tls none",
            "My-site-2 ftps://u@h none",
        ]
    );
    assert_eq!(left_out, ["ssh: its protocol is SFTP"]);
    assert_eq!(read(FILEZILLA).unwrap().without_password.len(), 1);
}

#[test]
fn sites_of_winscp_are_read_with_obscured_passwords() {
    // "hunter2" for the user `me` on `h`, with two bytes to be skipped.
    let plain = [&b"meh"[..], b"hunter2"].concat();
    let mut bytes = vec![0xFF, 0, u8::try_from(plain.len()).unwrap(), 2, 7, 7];
    bytes.extend(plain);
    let digits = bytes.iter().map(|byte| format!("{:02X}", !byte ^ 0xA3));
    let obscured = digits.collect::<Vec<_>>().concat();
    let text = format!(
        "[Configuration\\Interface]\nx=1\n[Sessions\\Default%20Settings]\nFSProtocol=5\n\
         [Sessions\\work/my%20site]\nHostName=h\nUserName=me\nFSProtocol=5\nFtps=3\nPassword={obscured}\n\
         RemoteDirectory=/a%20b\nFtpPasvMode=0\n[Sessions\\ssh]\nHostName=h\n"
    );
    let (sites, left_out) = told(&text);
    assert_eq!(sites, ["my-site ftpes://me@h//a%20b mode hunter2"]);
    assert_eq!(left_out, ["ssh: its protocol is SFTP or SCP"]);
    for broken in ["", "zz", "5C", "5C5C", "A35C00"] {
        assert!(winscp::reveal(broken, "").is_none(), "{broken}");
    }
}

#[test]
fn bookmarks_of_lftp_and_ncftp_are_read() {
    let (sites, left_out) = told(
        "shop\tftp://me:p%40ss@h:2121/htdocs/\nimplicit ftps://h\nssh\tsftp://h/x\nabs\tftp://h/%2Fetc\n",
    );
    assert_eq!(
        sites,
        [
            "shop ftp://me@h:2121/htdocs tls p@ss",
            "implicit ftps://h none",
            "abs ftp://h//etc tls none"
        ]
    );
    assert_eq!(left_out, ["ssh: its protocol is sftp"]);
    let (sites, _) = told(
        "NcFTP bookmark-file version: 8\nNumber of bookmarks: 2\n\
         home,h,me,*encoded*aHVudGVyMg==,,/a\\,b,I,2121,0,1,1,1,1,,,,,,S,-1,,\nopen,h,,,,,I,21,0\n",
    );
    assert_eq!(sites, ["home ftp://me@h:2121//a%2Cb hunter2", "open ftp://h none"]);
}

#[test]
fn remotes_of_rclone_are_read() {
    // Of rclone's own tests (`obscure_test.go`).
    for (obscured, plain) in [
        ("YWFhYWFhYWFhYWFhYWFhYQ", ""),
        ("YWFhYWFhYWFhYWFhYWFhYXMaGgIlEQ", "potato"),
        ("YmJiYmJiYmJiYmJiYmJiYp3gcEWbAw", "potato"),
    ] {
        assert_eq!(rclone::reveal(obscured).unwrap().reveal(), plain);
    }
    let (sites, left_out) = told(
        "[acme]\ntype = ftp\nhost = h\nuser = me\npass = YWFhYWFhYWFhYWFhYWFhYXMaGgIlEQ\nexplicit_tls = true\n\
         [s3]\ntype = s3\n",
    );
    assert_eq!(sites, ["acme ftpes://me@h potato"]);
    assert_eq!(left_out, ["s3: its type is s3"]);
    assert!(read("# Encrypted\nRCLONE_ENCRYPT_V0:\nabc").is_err());
}

#[test]
fn any_other_file_is_refused() {
    for text in [
        "",
        "hello",
        "<?xml version=\"1.0\"?><a/>",
        "{\"a\": 1}",
        "NcFTP bookmark-file version: 7\na,b",
    ] {
        assert!(read(text).is_err(), "{text}");
    }
    assert!(read("<FileZilla3><Servers><Server><Host>h</Pass></Servers>").is_err());
}

proptest::proptest! {
    #[test]
    fn no_file_makes_a_site_that_cannot_be_read(text in "(?s).{0,400}", start in 0_usize..5) {
        let head = ["<FileZilla3><Server>", "[Sessions\\a]\nFSProtocol=5\nHostName=", "a ftp://", "[a]\ntype = ftp\nhost = ",
            "NcFTP bookmark-file version: 8\na,"][start];
        if let Ok(found) = read(&format!("{head}{text}")) {
            for site in found.sites {
                proptest::prop_assert!(super::super::check_name(&site.name).is_ok(), "{}", site.name);
                proptest::prop_assert!(!site.url.contains(['\n', '\r', ' ']), "{}", site.url);
            }
        }
    }
}
