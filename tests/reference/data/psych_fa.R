# psych::fa of two small data sets: three extractions, one to five factors, six rotations.
#   Rscript psych_fa.R  (in this folder; writes psych_fa.json)
suppressMessages({library(psych); library(jsonlite)})
sets <- list(hs1939 = paste0("x", 1:9), poldem = c(paste0("y", 1:8), paste0("x", 1:3)))
out <- list(R = R.version.string, psych = as.character(packageVersion("psych")),
            GPArotation = as.character(packageVersion("GPArotation")), sets = list())
for (name in names(sets)) {
  X <- read.csv(file.path("data", paste0(name, ".csv")))[, sets[[name]]]
  fits <- list()
  for (fm in c("minres", "ml", "pa")) for (m in 1:5)
    for (rotate in c("none", "varimax", "promax", "oblimin", "quartimin", "geominQ")) {
      if (m == 1 && rotate != "none") next
      told <- character()
      f <- tryCatch(withCallingHandlers(
        fa(X, m, fm = fm, rotate = rotate),
        warning = function(w) { told <<- c(told, conditionMessage(w)); invokeRestart("muffleWarning") },
        message = function(w) { told <<- c(told, conditionMessage(w)); invokeRestart("muffleMessage") }),
        error = function(e) NULL)
      if (is.null(f)) next
      one <- list(loadings = round(unclass(f$loadings), 9), told = told)
      if (!is.null(f$Phi)) one$Phi <- round(unclass(f$Phi), 9)
      if (rotate == "none") one$statistics <- list(
        chisq = f$STATISTIC, df = f$dof, pvalue = f$PVAL, rmsea = f$RMSEA[[1]],
        rmsea_ci_lower = f$RMSEA[[2]], rmsea_ci_upper = f$RMSEA[[3]], tli = f$TLI, bic = f$BIC,
        sabic = f$SABIC, rmsr = f$rms, rmsr_corrected = f$crms, fit = f$fit,
        fit_off_diagonal = f$fit.off, objective = f$objective, chisq_empirical = f$chi,
        pvalue_empirical = f$EPVAL, ebic = f$EBIC, complexity = as.numeric(f$complexity))
      fits[[paste(fm, m, rotate)]] <- one
    }
  out$sets[[name]] <- list(variables = sets[[name]], fits = fits)
}
write_json(out, "psych_fa.json", digits = NA, auto_unbox = TRUE, null = "null", na = "null")
