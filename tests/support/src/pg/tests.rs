use super::*;

#[test]
fn each_caller_gets_an_empty_database_of_its_own() {
    let (one, two) = (url(), url());
    assert_ne!(one, two);
    let tables = |url: &str, text: &str| {
        let psql = Command::new(programs().unwrap().join("psql")).args(["-At", "-c", text, url]).output().unwrap();
        assert!(psql.status.success(), "{}", String::from_utf8_lossy(&psql.stderr));
        String::from_utf8(psql.stdout).unwrap()
    };
    tables(&one, "create table t (x text)");
    let count = "select count(*) from information_schema.tables where table_schema = 'public'";
    assert_eq!((tables(&one, count).trim(), tables(&two, count).trim()), ("1", "0"));
    assert_eq!(tables(&one, "select 'a' < 'B'").trim(), "f", "texts compare bytewise");
}

#[test]
fn the_newest_version_is_taken() {
    assert!(version(Path::new("/usr/lib/postgresql/15/bin")) > version(Path::new("/usr/lib/postgresql/9/bin")));
    assert_eq!(version(Path::new("/usr/bin")), 0);
}

#[test]
fn an_address_without_a_database_is_refused() {
    let (base, database) = split_url("postgres://me:x@host:5/db").unwrap();
    assert_eq!((base.as_str(), database.as_str()), ("postgres://me:x@host:5", "db"));
    split_url("postgres://host").unwrap_err();
    split_url("nonsense").unwrap_err();
}
