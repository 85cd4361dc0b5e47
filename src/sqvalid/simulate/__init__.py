"""Simulated surveys: a population in the language of models, answers, planted defects.

What is planted is known, so a method can be judged by whether it finds it. Nothing found in
simulated answers says anything about people.
"""

from __future__ import annotations

from sqvalid.simulate.draws import MinorFactors, fleishman_coefficients, jittered_thresholds
from sqvalid.simulate.plans import (
    Attention,
    Careless,
    Clusters,
    Column,
    Duration,
    Group,
    Missing,
    OutOfRange,
)
from sqvalid.simulate.population import Population, population_from_text
from sqvalid.simulate.power import Power, estimate_power
from sqvalid.simulate.rmsea_power import power_of_rmsea_test, sample_size_for_rmsea_test
from sqvalid.simulate.survey_maker import SEVEN_POINTS, SimulatedSurvey, simulate_survey

__all__ = [
    "SEVEN_POINTS",
    "Attention",
    "Careless",
    "Clusters",
    "Column",
    "Duration",
    "Group",
    "MinorFactors",
    "Missing",
    "OutOfRange",
    "Population",
    "Power",
    "SimulatedSurvey",
    "estimate_power",
    "fleishman_coefficients",
    "jittered_thresholds",
    "population_from_text",
    "power_of_rmsea_test",
    "sample_size_for_rmsea_test",
    "simulate_survey",
]
