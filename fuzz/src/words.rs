//! Texts that people write on a command line.

use dpipes::{
    expr::{Stage, parse},
    negotiate::{Requirement, Version},
    word::Word,
};

/// What is accepted as an expression survives its canonical spelling; what is refused can be drawn.
pub fn expr_parse(input: &[u8]) {
    let Ok(source) = str::from_utf8(input) else {
        return;
    };
    match parse(source) {
        Ok(pipeline) => {
            let spelling = pipeline.to_string();
            let again = parse(&spelling).expect("the canonical spelling is a pipeline");
            assert_eq!(again.to_string(), spelling);
            let said = |stages: &[Stage]| stages.iter().map(said).collect::<Vec<_>>();
            assert_eq!(said(&again.stages), said(&pipeline.stages));
            for stage in &pipeline.stages {
                assert!(source.get(stage.span.range()).is_some());
                assert!(!stage.app_name().is_empty());
            }
        }
        Err(error) => {
            assert!(source.get(error.span.range()).is_some());
            assert!(!error.render(source).is_empty());
        }
    }
}

/// All that a stage says, without where it stands.
fn said(stage: &Stage) -> impl PartialEq + std::fmt::Debug + use<> {
    let args: Vec<Word> = stage.args.iter().map(|arg| arg.word.clone()).collect();
    let env = stage
        .env
        .iter()
        .map(|one| (one.name.clone(), one.value.clone()));
    (
        stage.placement.clone(),
        env.collect::<Vec<_>>(),
        stage.app.word.clone(),
        args,
        stage.stderr_joined,
    )
}

/// The first line is a requirement, the others are versions as programs print them: they are in one order, which requirements heed.
pub fn version(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else {
        return;
    };
    let mut lines = text.lines();
    let wanted = lines.next().unwrap_or_default();
    let requirement: Result<Requirement, _> = wanted.parse();
    if let Err(error) = &requirement {
        assert_eq!(error.0, wanted);
    }
    let versions: Vec<Version> = lines.take(4).filter_map(Version::parse).collect();
    for one in &versions {
        let spelling = one.to_string();
        let again = Version::parse(&spelling).expect("a version's own spelling is a version");
        assert_eq!(&again, one);
        assert_eq!(again.to_string(), spelling);
        let accepted = |sign: &str| {
            let requirement: Requirement = format!("{sign}{spelling}")
                .parse()
                .expect("a sign and a version are a requirement");
            requirement.accepts(one)
        };
        assert!([">=", "<=", "=", "^", "~"].into_iter().all(accepted));
        assert!(!accepted("<") && !accepted(">"));
        if let Ok(requirement) = &requirement {
            let both: Requirement = format!("{wanted},>={spelling}")
                .parse()
                .expect("two requirements are one");
            for other in &versions {
                let expected = requirement.accepts(other) && other >= one;
                assert_eq!(both.accepts(other), expected);
            }
        }
    }
    let mut sorted: Vec<&Version> = versions.iter().collect();
    sorted.sort();
    for (index, lower) in sorted.iter().enumerate() {
        assert!(sorted[index..].iter().all(|higher| lower <= higher));
    }
    if let Some(found) = Version::find(text) {
        assert!(text.contains(&found) && Version::parse(&found).is_some());
    }
}
