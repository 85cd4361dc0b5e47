"""Latent variable models: language, parameter table, estimation, inference, fit, comparison."""

from sqvalid.latent.fit import cfa, fit_model, growth, model_variables, sem
from sqvalid.latent.result import FitResult

__all__ = ["FitResult", "cfa", "fit_model", "growth", "model_variables", "sem"]
