"""Advice for random draws whose parameters are a tensor that requires grad.

Where a distribution is a differentiable function of one that is free of parameters, that function
keeps the gradient (reparameterisation: Kingma and Welling, "Auto-encoding variational Bayes",
2014). Other draws have no derivative by their parameters.
"""

__all__ = ["of_draws"]

_LOCATION_AND_SCALE = ("gumbel", "laplace", "logistic")
_WHOLE = (
    "binomial",
    "geometric",
    "hypergeometric",
    "integers",
    "logseries",
    "multinomial",
    "multivariate_hypergeometric",
    "negative_binomial",
    "poisson",
    "randint",
    "random_integers",
    "zipf",
)
_NORMAL = "mean + scale * generator.standard_normal(mean.shape)"
_FUNCTIONS = {
    "exponential": "scale * generator.standard_exponential(scale.shape)",
    "gamma": "scale * generator.standard_gamma(shape.detach().numpy()), which has no derivative by "
    "the shape",
    "lognormal": "np.exp(mean + sigma * generator.standard_normal(mean.shape))",
    "multivariate_normal": "mean + np.linalg.cholesky(cov) @ generator.standard_normal(mean.shape)",
    "normal": _NORMAL,
    "pareto": "np.expm1(generator.standard_exponential(a.shape) / a)",
    "power": "generator.random(a.shape) ** (1 / a)",
    "rayleigh": "scale * generator.rayleigh(size=scale.shape)",
    "uniform": "low + (high - low) * generator.random(low.shape)",
    "weibull": "generator.standard_exponential(a.shape) ** (1 / a)",
}
_CONSTANT = "Pass t.detach().numpy()"


def of_draws(method: str) -> str:
    """What to write instead of a method of a generator, as a sentence without its end.

    >>> of_draws("exponential")[-55:]
    'em: scale * generator.standard_exponential(scale.shape)'
    """
    text = _FUNCTIONS.get(method)
    if method in _LOCATION_AND_SCALE:
        text = f"loc + scale * generator.{method}(size=loc.shape)"
    if text is not None:
        return f"Draw numbers that do not depend on the tensor, and compute with them: {text}"
    if method in _WHOLE:
        return (
            f"The whole numbers of {method} have no derivative by its parameters. {_CONSTANT}, and "
            "weight what follows by the logarithm of the probability of the draw"
        )
    if method == "choice":
        return (
            "A choice has no derivative by its probabilities. Draw places with "
            "generator.choice(len(values), p=p.detach().numpy()), and index with them: "
            "values[places]"
        )
    if method in ("permutation", "permuted", "shuffle"):
        return "Index with a permutation: t[generator.permutation(len(t))]"
    return f"Draws of {method} have no derivative by its parameters here. {_CONSTANT}"
