//! All bars as a picture: what was measured, its spread, and where the bar is, on a logarithmic scale.

use std::fmt::Write as _;

use super::{
    contest::{Bar, Contest, digits},
    report::{asked, beside},
};

/// Height of a row in pixels: a line of text above its bar.
const ROW: f64 = 38.0;

/// Where the axis begins and how long it is. To the right of it stands what was measured.
const LEFT: f64 = 20.0;
const AXIS: f64 = 760.0;
const WIDTH: f64 = 900.0;

/// Room above the first row, for the title and the scale.
const TOP: f64 = 64.0;

/// What the axis covers, in powers of two. What lies beyond is drawn at the edge; the number beside it is right.
const FROM: f64 = -5.0;
const TO: f64 = 4.0;

const HOLDS: &str = "#3b8554";
const FAILS: &str = "#c2473d";

/// The picture, as SVG.
pub(super) fn of(bars: &[(&Contest, &Bar)]) -> String {
    let height = TOP + ROW * bars.len() as f64 + 12.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"DejaVu Sans, Verdana, sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"20\" font-size=\"14\" font-weight=\"bold\">dpipes beside its peers: median and middle half of the ratios of each round</text>\n\
         <text x=\"{LEFT}\" y=\"37\" fill=\"#555\">black mark: the bar, with an arrow to the side that holds. Green holds, red does not. What is no ratio is drawn as a share of what it may be.</text>\n"
    );
    let mut power = FROM;
    while power <= TO {
        let x = place(power.exp2());
        let colour = if power == 0.0 { "#999" } else { "#e4e4e4" };
        writeln!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{height}\" stroke=\"{colour}\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#777\">{}</text>",
            TOP - 6.0,
            scale(power)
        )
        .expect("into memory");
        power += 1.0;
    }
    for (index, (contest, bar)) in bars.iter().enumerate() {
        svg += &row(contest, bar, TOP + ROW * index as f64);
    }
    svg + "</svg>\n"
}

fn row(contest: &Contest, bar: &Bar, y: f64) -> String {
    // What has a unit is drawn as a share of its bar.
    let one = if bar.must.is_ratio() {
        1.0
    } else {
        bar.must.limit()
    };
    let at = |share| place(bar.measured.at(share) / one);
    let limit = place(bar.must.limit() / one);
    let colour = if bar.holds() { HOLDS } else { FAILS };
    let (low, median, high) = (at(0.25), at(0.5), at(0.75));
    let (begin, width) = (place(1.0).min(median), (place(1.0) - median).abs().max(1.0));
    let label = escape(&format!(
        "{}: {} beside {}, {}, {}",
        contest.title,
        bar.side,
        beside(bar),
        contest.metrics[bar.metric],
        asked(bar, contest)
    ));
    let (bar_y, middle) = (y + 18.0, y + 24.0);
    let arrow = if bar.must.wants_more() { 7.0 } else { -7.0 };
    format!(
        "<text x=\"{LEFT}\" y=\"{:.1}\" stroke=\"white\" stroke-width=\"3\" paint-order=\"stroke\">{label}</text>\n\
         <rect x=\"{begin:.1}\" y=\"{bar_y:.1}\" width=\"{width:.1}\" height=\"12\" fill=\"{colour}\" fill-opacity=\"0.75\"/>\n\
         <path d=\"M{low:.1} {middle:.1}H{high:.1}M{low:.1} {:.1}v6M{high:.1} {:.1}v6\" stroke=\"#222\" fill=\"none\"/>\n\
         <path d=\"M{limit:.1} {:.1}v18\" stroke=\"black\" stroke-width=\"2\"/><path d=\"M{limit:.1} {:.1}l{arrow} 3l{} 3z\"/>\n\
         <text x=\"{:.1}\" y=\"{:.1}\" font-weight=\"bold\" fill=\"{colour}\">{}</text>\n",
        y + 13.0,
        middle - 3.0,
        middle - 3.0,
        middle - 9.0,
        middle - 9.0,
        -arrow,
        LEFT + AXIS + 16.0,
        middle + 4.0,
        digits(bar.measured.at(0.5)),
    )
}

/// Where a ratio lies on the axis.
fn place(ratio: f64) -> f64 {
    let power = ratio.max(f64::MIN_POSITIVE).log2().clamp(FROM, TO);
    LEFT + AXIS * (power - FROM) / (TO - FROM)
}

fn scale(power: f64) -> String {
    if power < 0.0 {
        format!("1/{}", (-power).exp2())
    } else {
        format!("{}", power.exp2())
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
