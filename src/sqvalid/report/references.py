"""The sources of the rules and methods, by key, and which of them a report used."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqvalid.findings import StudyResult

__all__ = ["SOURCES", "Source", "bibliography", "short_source", "source_keys", "used_sources"]


@dataclass(frozen=True)
class Source:
    """One entry of the bibliography.

    Parameters
    ----------
    key : str
        Its BibTeX key.
    kind : str
        ``article``, ``book``, ``incollection``, ``inproceedings`` or ``misc``.
    cited : str
        How a text names it: ``"Hu & Bentler (1999)"``.
    fields : mapping of str to str
        Of the BibTeX entry, without the year, which `cited` has.
    """

    key: str
    kind: str
    cited: str
    fields: Mapping[str, str]

    @property
    def year(self) -> str:
        """Year of publication."""
        return self.cited[-5:-1]

    def bibtex(self) -> str:
        """Return the entry."""
        lines = [f"@{self.kind}{{{self.key},"]
        fields = {**self.fields, "year": self.year}
        lines += [f"  {name} = {{{_plain(value)}}}," for name, value in fields.items()]
        return "\n".join([*lines, "}"])


def _plain(value: str) -> str:
    """Keep what somebody wrote from closing the braces of an entry or starting a command."""
    text = " ".join(value.split())
    return re.sub(r"[\\{}]", "", text).replace("&", r"\&").replace("%", r"\%").replace("#", r"\#")


def _article(
    key: str, cited: str, author: str, title: str, journal: str, place: str, doi: str = ""
) -> Source:
    """`place` is ``volume(number), pages`` or ``volume, pages``."""
    match = re.fullmatch(r"(\d+)(?:\((.+?)\))?, (.+)", place)
    if match is None:
        raise ValueError(f"place of {key!r} is not volume(number), pages: {place!r}")
    volume, number, pages = match.groups()
    fields = {"author": author, "title": title, "journal": journal, "volume": volume}
    if number:
        fields["number"] = number
    fields["pages"] = pages.replace("-", "--")
    if doi:
        fields["doi"] = doi
    return Source(key, "article", cited, fields)


def _book(
    key: str, cited: str, author: str, title: str, publisher: str, edition: str = ""
) -> Source:
    fields = {"author": author, "title": title, "publisher": publisher}
    if edition:
        fields["edition"] = edition
    return Source(key, "book", cited, fields)


def _chapter(
    key: str,
    cited: str,
    author: str,
    title: str,
    book: str,
    editor: str,
    pages: str,
    publisher: str,
) -> Source:
    fields = {"author": author, "title": title, "booktitle": book, "editor": editor}
    return Source(
        key, "incollection", cited, {**fields, "pages": pages, "publisher": publisher}
    )  # fmt: skip


_SEM = "Structural Equation Modeling"
_METHODS = "Psychological Methods"
_MBR = "Multivariate Behavioral Research"
_EPM = "Educational and Psychological Measurement"
_UAI = "Proceedings of the Conference on Uncertainty in Artificial Intelligence"

_ENTRIES = (
    _article("appelbaum2018", "Appelbaum et al. (2018)",
             "Appelbaum, Mark and Cooper, Harris and Kline, Rex B. and Mayo-Wilson, Evan and "
             "Nezu, Arthur M. and Rao, Stephen M.",
             "Journal article reporting standards for quantitative research in psychology",
             "American Psychologist", "73(1), 3-25", "10.1037/amp0000191"),
    _article("auerswald2019", "Auerswald & Moshagen (2019)", "Auerswald, Max and Moshagen, Morten",
             "How to determine the number of factors to retain in exploratory factor analysis: A "
             "comparison of extraction methods under realistic conditions",
             _METHODS, "24(4), 468-491", "10.1037/met0000200"),
    _article("bartlett1951", "Bartlett (1951)", "Bartlett, M. S.",
             "The effect of standardization on a chi-square approximation in factor analysis",
             "Biometrika", "38(3/4), 337-344"),
    _article("bentler1990", "Bentler (1990)", "Bentler, Peter M.",
             "Comparative fit indexes in structural models",
             "Psychological Bulletin", "107(2), 238-246", "10.1037/0033-2909.107.2.238"),
    _article("bentler2010", "Bentler & Satorra (2010)", "Bentler, Peter M. and Satorra, Albert",
             "Testing model nesting and equivalence", _METHODS, "15(2), 111-123",
             "10.1037/a0019625"),
    _book("bollen1989", "Bollen (1989)", "Bollen, Kenneth A.",
          "Structural Equations with Latent Variables", "Wiley"),
    _article("braeken2017", "Braeken & van Assen (2017)",
             "Braeken, Johan and van Assen, Marcel A. L. M.", "An empirical Kaiser criterion",
             _METHODS, "22(3), 450-466", "10.1037/met0000074"),
    _article("brosseau2014", "Brosseau-Liard & Savalei (2014)",
             "Brosseau-Liard, Patricia E. and Savalei, Victoria",
             "Adjusting incremental fit indices for nonnormality", _MBR, "49(5), 460-470",
             "10.1080/00273171.2014.933697"),
    _chapter("browne1993", "Browne & Cudeck (1993)", "Browne, Michael W. and Cudeck, Robert",
             "Alternative ways of assessing model fit", "Testing Structural Equation Models",
             "Bollen, Kenneth A. and Long, J. Scott", "136--162", "Sage"),
    _article("chen2007", "Chen (2007)", "Chen, Fang Fang",
             "Sensitivity of goodness of fit indexes to lack of measurement invariance",
             _SEM, "14(3), 464-504", "10.1080/10705510701301834"),
    _article("cicchetti1981", "Cicchetti & Sparrow (1981)",
             "Cicchetti, Domenic V. and Sparrow, Sara S.",
             "Developing criteria for establishing interrater reliability of specific items: "
             "Applications to assessment of adaptive behavior",
             "American Journal of Mental Deficiency", "86(2), 127-137"),
    _article("cronbach1951", "Cronbach (1951)", "Cronbach, Lee J.",
             "Coefficient alpha and the internal structure of tests", "Psychometrika",
             "16(3), 297-334", "10.1007/BF02310555"),
    _article("curran2016", "Curran (2016)", "Curran, Paul G.",
             "Methods for the detection of carelessly invalid responses in survey data",
             "Journal of Experimental Social Psychology", "66, 4-19", "10.1016/j.jesp.2015.07.006"),
    _article("dunn2018", "Dunn et al. (2018)",
             "Dunn, Alexandra M. and Heggestad, Eric D. and Shanock, Linda R. and Theilgard, Nels",
             "Intra-individual response variability as an indicator of insufficient effort "
             "responding: Comparison to other indicators and relationships with individual "
             "differences", "Journal of Business and Psychology", "33(1), 105-121",
             "10.1007/s10869-016-9479-0"),
    _article("enders2001", "Enders & Bandalos (2001)",
             "Enders, Craig K. and Bandalos, Deborah L.",
             "The relative performance of full information maximum likelihood estimation for "
             "missing data in structural equation models", _SEM, "8(3), 430-457",
             "10.1207/S15328007SEM0803_5"),
    _article("feldt1965", "Feldt (1965)", "Feldt, Leonard S.",
             "The approximate sampling distribution of Kuder-Richardson reliability coefficient "
             "twenty", "Psychometrika", "30(3), 357-370", "10.1007/BF02289499"),
    _article("fornell1981", "Fornell & Larcker (1981)", "Fornell, Claes and Larcker, David F.",
             "Evaluating structural equation models with unobservable variables and measurement "
             "error", "Journal of Marketing Research", "18(1), 39-50",
             "10.1177/002224378101800104"),
    _book("hair2019", "Hair, Black, Babin & Anderson (2019)",
          "Hair, Joseph F. and Black, William C. and Babin, Barry J. and Anderson, Rolph E.",
          "Multivariate Data Analysis", "Cengage", "8th"),
    _article("henseler2015", "Henseler, Ringle & Sarstedt (2015)",
             "Henseler, Jörg and Ringle, Christian M. and Sarstedt, Marko",
             "A new criterion for assessing discriminant validity in variance-based structural "
             "equation modeling", "Journal of the Academy of Marketing Science", "43(1), 115-135",
             "10.1007/s11747-014-0403-8"),
    _article("henze1990", "Henze & Zirkler (1990)", "Henze, Norbert and Zirkler, Bernd",
             "A class of invariant consistent tests for multivariate normality",
             "Communications in Statistics: Theory and Methods", "19(10), 3595-3617",
             "10.1080/03610929008830400"),
    _article("holm1979", "Holm (1979)", "Holm, Sture",
             "A simple sequentially rejective multiple test procedure",
             "Scandinavian Journal of Statistics", "6(2), 65-70"),
    _article("horn1965", "Horn (1965)", "Horn, John L.",
             "A rationale and test for the number of factors in factor analysis", "Psychometrika",
             "30(2), 179-185", "10.1007/BF02289447"),
    _article("hu1999", "Hu & Bentler (1999)", "Hu, Li-tze and Bentler, Peter M.",
             "Cutoff criteria for fit indexes in covariance structure analysis: Conventional "
             "criteria versus new alternatives", _SEM, "6(1), 1-55", "10.1080/10705519909540118"),
    _article("huang2012", "Huang, Curran, Keeney, Poposki & DeShon (2012)",
             "Huang, Jason L. and Curran, Paul G. and Keeney, Jessica and Poposki, Elizabeth M. "
             "and DeShon, Richard P.",
             "Detecting and deterring insufficient effort responding to surveys",
             "Journal of Business and Psychology", "27(1), 99-114", "10.1007/s10869-011-9231-8"),
    _article("humphreys1975", "Humphreys & Montanelli (1975)",
             "Humphreys, Lloyd G. and Montanelli, Richard G.",
             "An investigation of the parallel analysis criterion for determining the number of "
             "common factors", _MBR, "10(2), 193-205"),
    _article("igolkina2020", "Igolkina & Meshcheryakov (2020)",
             "Igolkina, Anna A. and Meshcheryakov, Georgy",
             "semopy: A Python package for structural equation modeling", _SEM, "27(6), 952-963",
             "10.1080/10705511.2019.1704289"),
    Source("jackson1976", "misc", "Jackson (1976)",
           {"author": "Jackson, Douglas N.", "title": "The appraisal of personal reliability",
            "note": "Paper presented at the meetings of the Society of Multivariate Experimental "
                    "Psychology"}),
    _article("johnson2005", "Johnson (2005)", "Johnson, John A.",
             "Ascertaining the validity of individual protocols from Web-based personality "
             "inventories", "Journal of Research in Personality", "39(1), 103-129",
             "10.1016/j.jrp.2004.09.009"),
    _article("kaiser1960", "Kaiser (1960)", "Kaiser, Henry F.",
             "The application of electronic computers to factor analysis", _EPM, "20(1), 141-151"),
    _article("kaiser1974", "Kaiser & Rice (1974)", "Kaiser, Henry F. and Rice, John",
             "Little Jiffy, Mark IV", _EPM, "34(1), 111-117"),
    _book("kline2016", "Kline (2016)", "Kline, Rex B.",
          "Principles and Practice of Structural Equation Modeling", "Guilford", "4th"),
    _article("koo2016", "Koo & Li (2016)", "Koo, Terry K. and Li, Mae Y.",
             "A guideline of selecting and reporting intraclass correlation coefficients for "
             "reliability research", "Journal of Chiropractic Medicine", "15(2), 155-163"),
    _article("kuriakose2016", "Kuriakose & Robbins (2016)",
             "Kuriakose, Noble and Robbins, Michael",
             "Don't get duped: Fraud through duplication in public opinion surveys",
             "Statistical Journal of the IAOS", "32(3), 283-291", "10.3233/SJI-160978"),
    _article("lawley1940", "Lawley (1940)", "Lawley, D. N.",
             "The estimation of factor loadings by the method of maximum likelihood",
             "Proceedings of the Royal Society of Edinburgh", "60(1), 64-82"),
    _article("lee1990", "Lee & Hershberger (1990)", "Lee, Soonmook and Hershberger, Scott",
             "A simple rule for generating equivalent models in covariance structure modeling",
             _MBR, "25(3), 313-334"),
    _article("little1988", "Little (1988)", "Little, Roderick J. A.",
             "A test of missing completely at random for multivariate data with missing values",
             "Journal of the American Statistical Association", "83(404), 1198-1202",
             "10.1080/01621459.1988.10478722"),
    _article("lorenzoseva2011", "Lorenzo-Seva, Timmerman & Kiers (2011)",
             "Lorenzo-Seva, Urbano and Timmerman, Marieke E. and Kiers, Henk A. L.",
             "The Hull method for selecting the number of common factors",
             "Multivariate Behavioral Research", "46(2), 340-364"),
    _article("maccallum1996", "MacCallum, Browne & Sugawara (1996)",
             "MacCallum, Robert C. and Browne, Michael W. and Sugawara, Hazuki M.",
             "Power analysis and determination of sample size for covariance structure modeling",
             _METHODS, "1(2), 130-149", "10.1037/1082-989X.1.2.130"),
    _article("mackinnon2004", "MacKinnon, Lockwood & Williams (2004)",
             "MacKinnon, David P. and Lockwood, Chondra M. and Williams, Jason",
             "Confidence limits for the indirect effect: Distribution of the product and "
             "resampling methods", _MBR, "39(1), 99-128", "10.1207/s15327906mbr3901_4"),
    _article("mardia1970", "Mardia (1970)", "Mardia, K. V.",
             "Measures of multivariate skewness and kurtosis with applications", "Biometrika",
             "57(3), 519-530", "10.1093/biomet/57.3.519"),
    _book("mcdonald1999", "McDonald (1999)", "McDonald, Roderick P.",
          "Test Theory: A Unified Treatment", "Erlbaum"),
    _article("meade2012", "Meade & Craig (2012)", "Meade, Adam W. and Craig, S. Bartholomew",
             "Identifying careless responses in survey data", _METHODS, "17(3), 437-455",
             "10.1037/a0028085"),
    Source("meek1995", "inproceedings", "Meek (1995)",
           {"author": "Meek, Christopher",
            "title": "Causal inference and causal explanation with background knowledge",
            "booktitle": _UAI, "pages": "403--410"}),
    _book("nunnally1994", "Nunnally & Bernstein (1994)", "Nunnally, Jum C. and Bernstein, Ira H.",
          "Psychometric Theory", "McGraw-Hill", "3rd"),
    _article("polit2006", "Polit & Beck (2006)", "Polit, Denise F. and Beck, Cheryl Tatano",
             "The content validity index: Are you sure you know what's being reported? Critique "
             "and recommendations", "Research in Nursing & Health", "29(5), 489-497"),
    _article("polit2007", "Polit, Beck & Owen (2007)",
             "Polit, Denise F. and Beck, Cheryl Tatano and Owen, Steven V.",
             "Is the CVI an acceptable indicator of content validity? Appraisal and "
             "recommendations", "Research in Nursing & Health", "30(4), 459-467"),
    _article("preacher2013", "Preacher et al. (2013)",
             "Preacher, Kristopher J. and Zhang, Guangjian and Kim, Cheongtag and Mels, Gerhard",
             "Choosing the optimal number of factors in exploratory factor analysis: A model "
             "selection perspective", _MBR, "48(1), 28-56", "10.1080/00273171.2012.710386"),
    _article("ringle2023", "Ringle, Sarstedt, Sinkovics & Sinkovics (2023)",
             "Ringle, Christian M. and Sarstedt, Marko and Sinkovics, Noemi and "
             "Sinkovics, Rudolf R.",
             "A perspective on using partial least squares structural equation modelling in data "
             "articles", "Data in Brief", "48, 109074", "10.1016/j.dib.2023.109074"),
    _article("roemer2021", "Roemer, Schuberth & Henseler (2021)",
             "Roemer, Ellen and Schuberth, Florian and Henseler, Jörg",
             "HTMT2: An improved criterion for assessing discriminant validity in structural "
             "equation modeling", "Industrial Management and Data Systems", "121(12), 2637-2650",
             "10.1108/IMDS-02-2021-0082"),
    _article("ronkko2022", "Rönkkö & Cho (2022)", "Rönkkö, Mikko and Cho, Eunseong",
             "An updated guideline for assessing discriminant validity",
             "Organizational Research Methods", "25(1), 6-47", "10.1177/1094428120968614"),
    _article("rosseel2012", "Rosseel (2012)", "Rosseel, Yves",
             "lavaan: An R package for structural equation modeling",
             "Journal of Statistical Software", "48(2), 1-36", "10.18637/jss.v048.i02"),
    _article("schwarz1978", "Schwarz (1978)", "Schwarz, Gideon",
             "Estimating the dimension of a model", "The Annals of Statistics", "6(2), 461-464",
             "10.1214/aos/1176344136"),
    _article("sclove1987", "Sclove (1987)", "Sclove, Stanley L.",
             "Application of model-selection criteria to some problems in multivariate analysis",
             "Psychometrika", "52(3), 333-343"),
    _article("sorbom1989", "Sörbom (1989)", "Sörbom, Dag", "Model modification", "Psychometrika",
             "54(3), 371-384", "10.1007/BF02294623"),
    _article("steiger1990", "Steiger (1990)", "Steiger, James H.",
             "Structural model evaluation and modification: An interval estimation approach",
             _MBR, "25(2), 173-180", "10.1207/s15327906mbr2502_4"),
    _book("tabachnick2019", "Tabachnick & Fidell (2019)",
          "Tabachnick, Barbara G. and Fidell, Linda S.", "Using Multivariate Statistics",
          "Pearson", "7th"),
    _article("tucker1973", "Tucker & Lewis (1973)", "Tucker, Ledyard R. and Lewis, Charles",
             "A reliability coefficient for maximum likelihood factor analysis", "Psychometrika",
             "38(1), 1-10", "10.1007/BF02291170"),
    _article("velicer1976", "Velicer (1976)", "Velicer, Wayne F.",
             "Determining the number of components from the matrix of partial correlations",
             "Psychometrika", "41(3), 321-327", "10.1007/BF02293557"),
    _chapter("velicer2000", "Velicer, Eaton & Fava (2000)",
             "Velicer, Wayne F. and Eaton, Cheryl A. and Fava, Joseph L.",
             "Construct explication through factor or component analysis: A review and evaluation "
             "of alternative procedures for determining the number of factors or components",
             "Problems and Solutions in Human Assessment", "Goffin, Richard D. and Helmes, Edward",
             "41--71", "Springer"),
    Source("verma1990", "inproceedings", "Verma & Pearl (1990)",
           {"author": "Verma, Thomas and Pearl, Judea",
            "title": "Equivalence and synthesis of causal models", "booktitle": _UAI,
            "pages": "255--270"}),
    _article("yuan2000", "Yuan & Bentler (2000)", "Yuan, Ke-Hai and Bentler, Peter M.",
             "Three likelihood-based methods for mean and covariance structure analysis with "
             "nonnormal missing data", "Sociological Methodology", "30(1), 165-200",
             "10.1111/0081-1750.00078"),
    _article("zijlstra2011", "Zijlstra, van der Ark & Sijtsma (2011)",
             "Zijlstra, Wobbe P. and van der Ark, L. Andries and Sijtsma, Klaas",
             "Outliers in questionnaire data: Can they be detected and should they be removed?",
             "Journal of Educational and Behavioral Statistics", "36(2), 186-212",
             "10.3102/1076998610366263"),
)  # fmt: skip

SOURCES: Mapping[str, Source] = MappingProxyType({source.key: source for source in _ENTRIES})
"""Every source by its key."""


def source_keys(text: str) -> tuple[str, ...]:
    """Return the keys of the sources that a text names.

    Parameters
    ----------
    text : str
        E.g. the ``source`` of a rule in :mod:`sqvalid.criteria`.

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> source_keys("Hu & Bentler (1999), Structural Equation Modeling 6(1), 1-55")
    ('hu1999',)
    """

    def named(cited: str) -> bool:
        # The year is part of the name; "& " before it makes it the end of a longer one.
        return re.search(rf"(?<!& )(?<!\w){re.escape(cited)}", text) is not None

    return tuple(key for key, source in SOURCES.items() if named(source.cited))


def short_source(text: str) -> str:
    """Return how the text of a report names a source whose entry is in its bibliography.

    Parameters
    ----------
    text : str
        The ``source`` of a rule.

    Returns
    -------
    str
        Author and year; `text` itself where it names no known source.
    """
    return "; ".join(SOURCES[key].cited for key in source_keys(text)) or text


def used_sources(result: StudyResult) -> tuple[str, ...]:
    """Return the keys of the sources whose rules or methods a report shows, in order of name.

    Parameters
    ----------
    result : StudyResult

    Returns
    -------
    tuple of str
    """
    used = {"appelbaum2018", "rosseel2012", "kline2016", "sorbom1989", "bollen1989"}
    used |= {"bentler1990", "tucker1973", "steiger1990", "maccallum1996"}
    used |= set(_of_estimation(result)) | set(_of_rules(result))
    if result.items is not None or result.validity is not None:
        used |= {"cronbach1951", "feldt1965"}
    if result.validity is not None:
        used |= {"fornell1981", "mcdonald1999"}
        if len(result.validity.pairs):
            used |= {"henseler2015", "ringle2023", "roemer2021", "ronkko2022"}
    screening = result.screening
    if screening is not None:
        found: dict[str, object] = {
            "mardia1970": screening.mardia,
            "henze1990": screening.henze_zirkler,
            "little1988": screening.mcar,
        }
        used |= {key for key, value in found.items() if value is not None}
    if result.hypotheses is not None:
        used |= {"holm1979"}
        if (result.hypotheses.frame["test"] == "monte_carlo").any():
            used |= {"mackinnon2004"}
    if result.structural is not None:
        used |= {"verma1990", "meek1995", "lee1990"}
    if result.rivals is not None:
        used |= {"bentler2010"}
    if any(opinion.available for opinion in result.opinions.values()):
        used |= {"igolkina2020"}
    if result.factorability is not None:
        used |= {"kaiser1974", "bartlett1951"}
    if result.retention is not None:
        used |= {"auerswald2019", *_in(result.retention.frame["source"])}
    return tuple(sorted(used))


def _in(texts: Iterable[object]) -> set[str]:
    return {key for text in texts for key in source_keys(str(text))}


def _of_rules(result: StudyResult) -> Iterable[str]:
    from sqvalid.criteria import BANDS, CRITERIA

    for link in result.ledger.links:
        for judgement in link.judgements:
            for table in (CRITERIA, BANDS):
                if judgement.rule in table:
                    yield from source_keys(table[judgement.rule].source)
    if result.screening is not None:
        rules = result.screening.rules
        yield from _in(rules.loc[rules["applied"], "source"])
    if result.invariance is not None:
        yield "chen2007"


def _of_estimation(result: StudyResult) -> Iterable[str]:
    options = result.measurement.options
    if str(options["estimator"]) == "MLR":
        yield from ("yuan2000", "brosseau2014")
    if options["missing"] == "fiml":
        yield "enders2001"


def bibliography(result: StudyResult) -> str:
    """Return the sources that a report used as BibTeX.

    Parameters
    ----------
    result : StudyResult

    Returns
    -------
    str
        One entry per source; the instrument's own source comes last, as a note.
    """
    entries = [SOURCES[key].bibtex() for key in used_sources(result)]
    instrument = result.instrument
    if instrument is not None:
        key = re.sub(r"[^A-Za-z0-9_-]", "", instrument.id) or "instrument"
        note = _plain(instrument.source)
        title = _plain(instrument.name.get(result.language, instrument.id))
        entries.append(f"@misc{{{key},\n  title = {{{title}}},\n  note = {{{note}}},\n}}")
    return "\n\n".join(entries)
