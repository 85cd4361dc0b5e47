# Sample statistics of ordered answers by lavaan, for test_ordinal_moments.py.
# Rscript ordinal_moments.R writes ordinal_moments.json beside it.
suppressMessages({library(lavaan); library(jsonlite)})
set.seed(1939)
n <- 240
f <- rnorm(n)
latent <- sapply(c(.8, .7, .6, .75, .5, .65), function(l) l * f + sqrt(1 - l^2) * rnorm(n))
age <- round(40 + 12 * rnorm(n))
visits <- rpois(n, 3)
latent[, 1:4] <- latent[, 1:4] + .03 * (age - 40) %o% c(1, .5, 0, .8)
cut_at <- function(x, at) findInterval(x, at) + 1L
d <- data.frame(
  a = cut_at(latent[, 1], c(-1.5, -.6, .3, 1.2)), b = cut_at(latent[, 2], c(-1, -.2, .5, 1.4)),
  c = cut_at(latent[, 3], c(-.3, .8)), e = cut_at(latent[, 4], .4), h = cut_at(latent[, 5], -.2),
  y = round(3 + latent[, 6] + .02 * (age - 40), 2), z = round(10 + 2 * f + 3 * rnorm(n), 1),
  age = age, visits = visits, team = ifelse(runif(n) < .45, "north", "south"),
  w = round(runif(n, .3, 2.5), 2)
)
holes <- d
for (v in c("a", "b", "c", "e", "h", "y", "z")) holes[runif(n) < .12, v] <- NA
# Respondents who answered no item.
holes[c(5, 90), c("a", "b", "c", "e", "h", "y", "z")] <- NA
near <- data.frame(
  p = cut_at(f, c(-1, 0, 1)), q = cut_at(f + .15 * rnorm(n), c(-.8, .1, .9)),
  r = cut_at(-f + .2 * rnorm(n), c(-.5, .5)), s = cut_at(f + .1 * rnorm(n), 0)
)
# One cell of every two-by-two table is empty, in different corners.
zero <- data.frame(
  p = rep(1:2, c(50, 30)), q = rep(1:2, c(30, 50)), r = rep(2:1, c(25, 55)),
  s = rep(1:2, c(20, 60))
)
cases <- list()
add <- function(name, data, vars, x = NULL, group = NULL, weights = NULL, missing = "listwise",
                ordered = intersect(vars, c("a", "b", "c", "e", "h", "p", "q", "r", "s"))) {
  text <- paste("f =~", paste(vars, collapse = " + "))
  if (length(x)) text <- paste(text, "\nf ~", paste(x, collapse = " + "))
  fit <- suppressWarnings(sem(text, data, ordered = ordered, group = group,
    sampling.weights = weights, missing = missing))
  stats <- lavInspect(fit, "sampstat"); gamma <- lavInspect(fit, "gamma")
  if (is.null(group)) { stats <- list(stats); gamma <- list(gamma) }
  part <- function(m, names) {
    for (k in names) if (!is.null(m[[k]])) return(signif(unclass(m[[k]]), 12))
    NULL
  }
  cases[[name]] <<- list(
    variables = vars, ordered = ordered, conditional = as.character(x), group = group,
    weights = weights, missing = missing, version = as.character(packageVersion("lavaan")),
    data = data[c(vars, x, group, weights)],
    blocks = unname(Map(function(m, g) list(
      covariance = unname(part(m, c("cov", "res.cov"))), th = unname(part(m, c("th", "res.th"))),
      intercepts = unname(part(m, c("mean", "res.int"))), slopes = unname(part(m, "res.slopes")),
      x_covariance = unname(part(m, "cov.x")), x_means = unname(part(m, "mean.x")),
      gamma = unname(signif(unclass(g), 12))), stats, gamma)))
}
items <- c("a", "b", "c", "e", "h")
add("ordered", d, items)
add("mixed", d, c("y", "a", "c", "z", "e"))
add("groups", d, c("a", "c", "e", "y"), group = "team")
add("pairwise", holes, c("a", "b", "c", "e"), missing = "pairwise")
add("pairwise mixed", holes, c("a", "y", "e", "z"), missing = "pairwise")
add("weights", d, c("a", "c", "e", "y", "z"), weights = "w")
add("weights and groups", d, c("b", "c", "h"), weights = "w", group = "team")
add("near one", near, c("p", "q", "r", "s"))
add("empty cell", zero, c("p", "q", "r", "s"))
add("given covariates", d, c("a", "y", "c", "e", "z"), x = c("age", "visits"))
add("given, groups", d, c("a", "c", "y"), x = "age", group = "team")
add("given, pairwise", holes, c("a", "y", "e", "z"), x = c("age", "visits"), missing = "pairwise")
add("given, weights", d, c("b", "y", "h"), x = c("visits", "age"), weights = "w")
write_json(cases, "ordinal_moments.json", digits = NA, null = "null", na = "null",
           dataframe = "columns", auto_unbox = TRUE)
