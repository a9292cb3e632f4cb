"""NumPy functions that do not take tensors, and what to write instead.

One text per function: `minigrad.numpy_api.protocols` puts it into the error at the call, and
`tools.numpy_table` into the table of the documentation.
"""

__all__ = ["CLASSES", "OF_SCIPY", "REFUSED", "UNREACHED", "reason"]

_PLAIN = "pass t.detach().numpy() if a constant is meant"
_COEFFICIENTS = "compose it of array operations on the coefficients"
_DATES = "tensors hold no dates; " + _PLAIN
_FILES = "use minigrad.serialize.save(path, {name: t}), or pass t.numpy()"
_SETS = (
    "which values there are is a constant: " + _PLAIN + "; to keep a gradient, index t with the "
    "places that np.unique(..., return_index=True) finds"
)
_COUNTS = "counts are constants: " + _PLAIN
_BITS = "bits carry no derivative; " + _PLAIN

REFUSED: dict[str, str] = {
    "np.angle": "write np.arctan2(imaginary, real) of two real tensors",
    "np.apply_along_axis": "write it with the axis= of array operations, or minigrad.stack of a "
    "loop over minigrad.unstack(t, axis=axis)",
    "np.apply_over_axes": "pass a tuple as axis= to the reduction",
    "np.bincount": "add with minigrad.scatter_add(zeros, indices, weights); "
    "of integers alone " + _COUNTS,
    "np.busday_count": _DATES,
    "np.busday_offset": _DATES,
    "np.datetime_as_string": _DATES,
    "np.ediff1d": "use np.diff(t.ravel()), with prepend= and append=",
    "np.frexp": "the exponent is a constant: np.floor(np.log2(np.abs(t))) + 1; divide by "
    "np.exp2 of it",
    "np.geomspace": "use np.exp(np.linspace(np.log(start), np.log(stop), num))",
    "np.histogram": _COUNTS,
    "np.histogram2d": _COUNTS,
    "np.histogram_bin_edges": _COUNTS,
    "np.histogramdd": _COUNTS,
    "np.i0": "declare it with @minigrad.primitive; its derivative is the Bessel function I1",
    "np.intersect1d": _SETS,
    "np.is_busday": _DATES,
    "np.isnat": _DATES,
    "np.ix_": "index along one axis after the other, or pass arrays of integers",
    "np.lexsort": "the order is a constant: pass keys as t.detach().numpy() and index with it",
    "np.logspace": "use base ** np.linspace(start, stop, num)",
    "np.packbits": _BITS,
    "np.piecewise": "use np.where, or np.select for several conditions",
    "np.place": "write t[mask] = values",
    "np.poly": _COEFFICIENTS + ": fold np.convolve over the factors x - root",
    "np.polyadd": "add the coefficients, padded in front with np.pad",
    "np.polyder": "multiply the coefficients: p[:-1] * np.arange(len(p) - 1, 0, -1)",
    "np.polydiv": _COEFFICIENTS,
    "np.polyfit": "use np.linalg.lstsq(np.vander(x, degree + 1), y)",
    "np.polyint": "divide the coefficients: p / np.arange(len(p), 0, -1), and append 0",
    "np.polymul": "use np.convolve(p, q)",
    "np.polysub": "subtract the coefficients, padded in front with np.pad",
    "np.put": "write flat = t.ravel().copy(), flat[index] = values and t = flat.reshape(t.shape)",
    "np.putmask": "write t[mask] = values[mask], or use np.where",
    "np.ravel_multi_index": "add the integer indices, times the lengths of the later axes; "
    + _PLAIN,
    "np.real_if_close": "use np.real(t)",
    "np.resize": "use np.tile or np.repeat, and t.reshape",
    "np.roots": "use np.linalg.eigvalsh where the matrix is symmetric, or " + _PLAIN,
    "np.save": _FILES,
    "np.savetxt": _FILES,
    "np.savez": _FILES,
    "np.savez_compressed": _FILES,
    "np.setdiff1d": _SETS,
    "np.setxor1d": _SETS,
    "np.sort_complex": "use np.sort of the real part",
    "np.trim_zeros": "index with a slice: t[first:last]",
    "np.union1d": _SETS,
    "np.unique": _SETS,
    "np.unique_all": _SETS,
    "np.unique_counts": _SETS,
    "np.unique_inverse": _SETS,
    "np.unique_values": _SETS,
    "np.unpackbits": _BITS,
    "np.unravel_index": "divide the integer index by the lengths with // and %; " + _PLAIN,
    "np.unwrap": "add the multiples of 2 pi: t + (np.unwrap(p) - p) with p = t.detach().numpy()",
    "np.linalg.eig": "use np.linalg.eigh for symmetric matrices: eigenvalues of others are complex",
    "np.linalg.eigvals": "use np.linalg.eigvalsh for symmetric matrices: others' are complex",
}
"""The functions that refuse tensors, by the name that a user writes."""

UNREACHED: dict[str, str] = {
    "np.array": "use minigrad.Tensor for a copy, minigrad.stack for a list of tensors, "
    "t.numpy() for a constant",
    "np.asanyarray": "use the tensor itself, or t.numpy() for a constant",
    "np.asarray": "use the tensor itself, minigrad.stack for a list, or t.numpy() for a constant",
    "np.asarray_chkfinite": "check np.isfinite(t).all(), or run in minigrad.anomaly_mode()",
    "np.ascontiguousarray": "use the tensor itself: it has no memory order",
    "np.asfortranarray": "use the tensor itself: it has no memory order",
    "np.asmatrix": "use the tensor itself and @",
    "np.arange": "use start + step * np.arange(count)",
    "np.full": "use minigrad.full_like or np.broadcast_to",
    "np.require": "use the tensor itself, or t.numpy() for a constant",
    "np.bmat": "use np.block",
    "np.fromiter": "use minigrad.stack of the tensors",
}
"""Functions that never ask the protocols and convert: a tensor that requires grad refuses that."""

CLASSES: dict[str, str] = {
    "np.poly1d": "keep the coefficients as a tensor, and evaluate them with np.polyval(t, x)",
}
"""Classes that call a function that refuses tensors, or convert."""

_BETALN = "mg.gammaln(a) + mg.gammaln(b) - mg.gammaln(a + b)"

OF_SCIPY: dict[str, str] = {
    "scipy.special.beta": f"write mg.exp({_BETALN}), for a, b > 0",
    "scipy.special.betaln": f"write {_BETALN}, for a, b > 0",
    "scipy.special.binom": "write mg.exp(mg.gammaln(n + 1) - mg.gammaln(k + 1) - "
    "mg.gammaln(n - k + 1)), for -1 < k < n + 1",
    "scipy.special.cosm1": "write -2 * np.sin(t / 2) ** 2",
    "scipy.special.entr": "write -mg.xlogy(t, t), for t >= 0",
    "scipy.special.erfcinv": "write mg.erfinv(1 - t)",
    "scipy.special.exp10": "write 10.0**t",
    "scipy.special.gamma": "write mg.exp(mg.gammaln(t)), for t > 0",
    "scipy.special.kl_div": "write mg.xlogy(x, x / y) - x + y, for x >= 0 and y > 0",
    "scipy.special.loggamma": "write mg.gammaln(t), for t > 0",
    "scipy.special.ndtr": "write 0.5 * mg.erfc(-t / 2**0.5)",
    "scipy.special.ndtri": "write 2**0.5 * mg.erfinv(2 * t - 1)",
    "scipy.special.poch": "write mg.exp(mg.gammaln(z + m) - mg.gammaln(z)), for z, z + m > 0",
    "scipy.special.pseudo_huber": "write delta**2 * (np.sqrt(1 + (r / delta) ** 2) - 1)",
    "scipy.special.rel_entr": "write mg.xlogy(x, x / y), for x >= 0 and y > 0",
    "scipy.special.rgamma": "write mg.exp(-mg.gammaln(t)), for t > 0",
}
"""What to write instead of universal functions of SciPy without a derivative rule here."""


def reason(name: str) -> str:
    """Why a function does not take tensors, and what to write instead.

    >>> reason("np.polymul")
    'np.polymul does not take tensors: use np.convolve(p, q).'
    """
    for texts in (REFUSED, CLASSES, OF_SCIPY):
        if name in texts:
            return f"{name} does not take tensors: {texts[name]}."
    return (
        f"{name} has no derivative in minigrad, so it does not take tensors. Compose it of "
        "functions that minigrad knows, declare it with @minigrad.primitive, or, if a constant is "
        "meant, pass t.detach().numpy()."
    )
