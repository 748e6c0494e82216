"""Ensemble: the same network from several seeds, their mean as the answer, their spread as an error bar.

    u(p) = mean_m u_m(p),    error_bar(p) = (mean_m |u_m(p) - u(p)|^2)^(1/2) / |u(p)|    in the problem's norm

Members that agree may be wrong together: the spread proves nothing. It is where to look first, and a search climbs it
where the problem has no residual (``verify/search/signal.py``). The error of the mean is at most the mean of theirs.
What is linear and kept by all members, such as prescribed values, symmetries and a mass, their mean keeps; an energy it
does not, so that where all have built in what the scheme conserves, the answer is the mean with this built in, too.

Members are trained one after the other, each judged by rows of its own; or ``together``, their steps in one program by
vmap over weights. Measured on two cores with four networks of Burgers' equation (32 cells, 17 times), a step of all
takes 8 ms for 14 one after the other with mlp, but with fno 9.8 for 10 and with unet 3.4 for 3.3: there it saves the
compiling of three programs alone, 5 to 10 seconds each, which is why it is offered and not how members are trained
anyway. They then hold out the same rows, and their mean can be judged beside baselines.
Reference: Lakshminarayanan, Pritzel, Blundell 2017.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..solvers.batching import RowMap, without_caches
from ..solvers.identity import check_known
from ..solvers.problem import Problem, is_traced
from ..solvers.seed import checked_seed
from .surrogate import Surrogate
from .training.residual_loss import built_in, conserves
from .training.train import train, train_together

LEFT_OUT = "left-out snapshots"  # where an error is told that was measured at rows of its own
EACH_ITS_OWN = "rows that each member held out, others than the other members'"
UNKNOWN = (
    "nothing is known of the members' mean beside baselines that cost nothing, since not every member held rows out: "
    "compare them at further inputs"
)


@dataclass(frozen=True, eq=False)
class Ensemble:
    """``ensemble(P)``: fields [n, N] at inputs P [n, d], as a surrogate's. ``assay.save`` keeps it in one file.

    ``judged`` holds what rows held out of every member say of their mean ("validation" and "warnings"), empty where
    there are none.

    Raises:
        ValueError: fewer than two members, other things than surrogates, or of different problems.
    """

    members: tuple[Surrogate, ...]
    judged: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        members = tuple(self.members) if isinstance(self.members, tuple | list) else (self.members,)
        strange = [member for member in members if not isinstance(member, Surrogate)]
        if strange:
            raise ValueError(f"the members of an ensemble are surrogates that train made, not {strange[0]!r:.80}")
        if len(members) < 2:
            raise ValueError(f"an ensemble has two or more members, not {len(members)}")
        object.__setattr__(self, "members", members)
        for number, member in enumerate(members[1:], start=1):
            _check_problem(number, member, self.problem)

    def __repr__(self) -> str:
        names = ", ".join(dict.fromkeys(member.name for member in self.members))
        return f"Ensemble({len(self.members)} x {names} of {self.problem.name})"

    def __getstate__(self) -> dict[str, Any]:
        return without_caches(self)

    @property
    def problem(self) -> Problem:
        """What they answer."""
        return self.members[0].problem

    @property
    def trained_at(self) -> Float[np.ndarray, "m d"] | None:
        """The inputs that any of them learnt from."""
        known = [member.trained_at for member in self.members if member.trained_at is not None]
        return np.unique(np.concatenate(known), axis=0) if known else None

    @property
    def training(self) -> dict[str, Any]:
        """What is known of the mean, ``"validation"`` and ``"warnings"``: the members' own, and what rows that no
        member learnt from say. Where these differ from member to member the mean of the members' errors stands there.
        """
        own = list(dict.fromkeys(line for member in self.members for line in member.training.get("warnings", [])))
        if self.judged:
            warnings = [f"of the members' mean: {line}" for line in self.judged["warnings"]]
            return {**self._spent, "validation": self.judged["validation"], "warnings": own + warnings}
        known: list[dict[str, Any]] = [member.training.get("validation") or {} for member in self.members]
        errors = [found["network"] for found in known if found.get("network") is not None]
        if len(errors) < len(known) or any(found.get("at", LEFT_OUT) != LEFT_OUT for found in known):
            return {**self._spent, "warnings": [*own, UNKNOWN]}
        names = set.intersection(*(set(found["dull"]) for found in known))
        dull: dict[str, float] = {
            name: float(np.mean([found["dull"][name] for found in known])) for name in sorted(names)
        }
        mean = float(np.mean(errors))
        validation = {"network": mean, "at": EACH_ITS_OWN, "dull": dull}
        best = min(dull, key=lambda name: dull[name], default="")
        if best and mean > dull[best]:
            own.append(
                f"whether the members' mean is better than {best}, which costs nothing, is not known: members held out "
                f"rows of their own, where their errors are {mean:.2g} in the mean, which that of "
                f"their mean does not exceed, and that of {best} is {dull[best]:.2g}: compare them at further inputs"
            )
        return {**self._spent, "validation": validation, "warnings": own}

    @property
    def _spent(self) -> dict[str, Any]:
        """Seconds of all, together or one after the other."""
        each = [float(member.training.get("seconds", 0.0)) for member in self.members]
        together = all(member.training.get("together", 0) == len(self.members) for member in self.members)
        return {"members": len(self.members), "seconds": max(each) if together else sum(each)}

    def __call__(self, P: Any) -> Any:
        fields = [member(P) for member in self.members]
        mean = sum(fields[1:], fields[0]) / len(fields)
        if not self._conserves:
            return mean
        if is_traced(P):
            return jax.vmap(built_in(self.problem))(jnp.asarray(P, dtype=jnp.float64), mean)
        return np.asarray(self._built_in(np.asarray(P, dtype=np.float64), mean))

    @cached_property
    def _conserves(self) -> bool:
        """Whether all members keep what the scheme conserves."""
        kept = all(m.has_lift and not m.has_basis and m.training.get("constraints") == "hard" for m in self.members)
        return kept and conserves(self.problem)

    @cached_property
    def _built_in(self) -> RowMap:
        return RowMap(built_in(self.problem))

    def error_bar(self, P: Any) -> Float[np.ndarray, " n"]:
        """The spread of the members at inputs P [n, d], relative to their mean: no bound."""
        fields = np.stack([member(P) for member in self.members], axis=1)
        return np.asarray(self._spreads(np.asarray(P, dtype=np.float64), fields))

    def _one(self, p: Float[Array, " d"], rows: Float[Array, "members N"]) -> Float[Array, ""]:
        mean = rows.mean(axis=0)
        squares = jnp.stack([self.problem.norm(p, row - mean) ** 2 for row in rows])
        size = self.problem.magnitude(p, mean)
        return jnp.sqrt(squares.mean()) / jnp.where(size > 0, size, 1.0)

    @cached_property
    def _spreads(self) -> RowMap:
        return RowMap(self._one)


def _check_problem(number: int, member: Surrogate, problem: Problem) -> None:
    """That a member answers this problem too: of solvers of the user's own one solution is looked at, which name and
    box do not tell apart.
    """
    if member.problem is problem:
        return
    if member.problem.fingerprint != problem.fingerprint:
        raise ValueError(f"the members of an ensemble are surrogates of one problem, and member {number} is of another")
    if member.solution is not None:
        check_known(f"member {number} of the ensemble", problem, *member.solution)


def ensemble(
    problem: Problem,
    architecture: str,
    snapshots: Any,
    *,
    seeds: int = 4,
    seed: int = 0,
    together: bool = False,
    **options: Any,
) -> Ensemble:
    """Train ``seeds`` surrogates, from seed ``seed`` on, each with the same options.

    Args:
        together: train networks of fields in one program, with the same rows held out (those of the first seed);
            ``seconds`` and ``checkpoint`` then are of all. Otherwise one is trained after the other, as ``train``
            would, with checkpoints ``checkpoint-0``, ``checkpoint-1``, ...

    Raises:
        ValueError: as ``train``; fewer than two seeds, members that are all equal, or an architecture or optimiser
            that cannot be trained together.
    """
    if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 2:
        raise ValueError(f"an ensemble takes two or more seeds, not {seeds!r}")
    if not isinstance(together, bool):
        raise ValueError(f"together is True or False, not {together!r:.80}")
    seed = checked_seed(seed)
    if together:
        networks, judged = train_together(problem, architecture, snapshots, range(seed, seed + seeds), **options)
        return Ensemble(tuple(networks), judged)
    file = options.pop("checkpoint", None)  # one for each member
    members = []
    for k in range(seeds):
        more: dict[str, Any] = {} if file is None else {"checkpoint": f"{file}-{k}"}
        members.append(train(problem, architecture, snapshots, seed=seed + k, **options, **more))
        if k == 1 and _same(*members):
            raise ValueError(
                f"{architecture} comes out the same from every seed, so that its members would be one: train it alone, "
                "or an ensemble of networks"
            )
    return Ensemble(tuple(members))


def _same(one: Surrogate, other: Surrogate) -> bool:
    return one.arrays.keys() == other.arrays.keys() and all(
        np.array_equal(a, other.arrays[key]) for key, a in one.arrays.items()
    )
