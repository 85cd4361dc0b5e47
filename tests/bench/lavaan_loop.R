# Answers one line per request on standard input: the milliseconds of CPU time, and chi-square.
# Request: path of a file of doubles (column after column), rows, columns, path of the names,
# path of the model, estimator, function, treatment of missing answers, bootstrap resamples (0: the
# time is that of the fit, else that of one resample), whether answers are ordered.
suppressPackageStartupMessages(library(lavaan))
input <- file("stdin", "r")
data_of <- new.env()
repeat {
  line <- readLines(input, n = 1)
  if (length(line) == 0) break
  f <- strsplit(line, "\t", fixed = TRUE)[[1]]
  n <- as.integer(f[2]); p <- as.integer(f[3])
  if (!exists(f[1], envir = data_of)) {
    frame <- as.data.frame(matrix(readBin(f[1], "double", n * p), n))
    names(frame) <- readLines(f[4])
    assign(f[1], frame, envir = data_of)
  }
  frame <- get(f[1], envir = data_of)
  model <- paste(readLines(f[5]), collapse = "\n")
  fitter <- if (f[7] == "sem") sem else cfa
  draws <- as.integer(f[9])
  ordered <- if (f[10] == "1") names(frame) else NULL
  if (draws > 0) fitted <- fitter(model, frame, estimator = f[6], missing = f[8])
  gc(verbose = FALSE)
  before <- proc.time()
  if (draws > 0) {
    resamples <- bootstrapLavaan(fitted, R = draws)
    spent <- (proc.time() - before) / draws
    measures <- fitMeasures(fitted)
  } else {
    fit <- fitter(model, frame, estimator = f[6], missing = f[8], ordered = ordered)
    measures <- fitMeasures(fit)
    rows <- parameterEstimates(fit, standardized = TRUE)
    spent <- proc.time() - before
  }
  name <- if ("chisq.scaled" %in% names(measures)) "chisq.scaled" else "chisq"
  cat(sprintf("%.3f\t%.10f\n", 1000 * sum(spent[c("user.self", "sys.self")]), measures[[name]]))
  flush(stdout())
}
