"""What if: another machine or other wishes, the pairs they would have, and what that gains and loses."""

from functools import partial
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal, VerticalScroll
from textual.content import Content
from textual.events import Resize
from textual.widgets import Input, Static

from planner.core.pages.what_if import compare_plans
from planner.core.pairs.recommendation import Recommendation
from planner.tui.columns import MUTED, hanging, lines
from planner.tui.data.machine import Situation
from planner.tui.data.question import AS_IT_IS, BY_NAME, FIELDS, FieldError, Question, problems
from planner.tui.data.what_if import Answer
from planner.tui.figures import plan_name
from planner.tui.marks import Marks
from planner.tui.newest import Newest
from planner.tui.problem import Problem
from planner.tui.screens.page import Page
from planner.tui.screens.pick import Line, Pick
from planner.tui.state import State
from planner.tui.widgets.difference_table import DifferenceTable
from planner.tui.widgets.fitted import Fitted
from planner.tui.widgets.plan_list import PlanList
from planner.tui.widgets.question_form import QuestionForm

DEADLINE_S = 60.0
_PAUSE_S = 0.12
"""Keys that follow each other faster than this are one change."""
_REMEMBERED = "what-if"
GIVEN_UP = Problem("The ranking was given up.", "Change a field to rank again.", "given-up")


class PossiblePlans(PlanList):
    """The pairs of the answer."""

    def _empty(self, width: int) -> Content:
        if self.problem is None:
            return Content.styled(f"ranking {self.marks.ellipsis}", MUTED)
        found = [hanging(self.marks.failed, self.problem.message, width, "$text-error")]
        if self.problem.hint:
            found.append(hanging(self.marks.arrow, self.problem.hint, width))
        return lines(found)


class SameCommand(Fitted):
    """The commands that answer the same."""

    commands: tuple[str, ...] = ()

    def draw(self, width: int) -> Content:
        """A line each."""
        return lines([hanging("$", command, width, MUTED) for command in self.commands])


class WhatIfPage(Page):
    """Each change ranks anew in the background; the newest one wins."""

    CSS_PATH = "what_if.tcss"
    AUTO_FOCUS = "#what-if-form"
    HELP_KEYS = (
        ("up, down", "choose a field"),
        ("left, right", "the previous or next value of a field"),
        ("enter", "type a value, or choose a GPU from a list"),
        ("backspace", "leave a field as it is"),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "reset", "Reset", tooltip="leave everything as it is on this machine"),
        Binding("g", "gpu", "GPU", tooltip="choose a GPU from the list"),
        Binding("y", "copy", "Copy command", tooltip="copy the command that answers the same"),
        Binding("u", "launch", "Launch", tooltip="launch the chosen pair, where the machine is this one"),
        Binding("m", "model", "Model", tooltip="see the generator of the chosen pair"),
        Binding("escape", "give_up", "Give up", show=False, tooltip="give up a ranking that goes on"),
    ]

    def __init__(self, *, marks: Marks) -> None:
        super().__init__(marks=marks)
        self._question = Question()
        self._before_edit = Question()
        self._editing: str | None = None
        self._answer: Answer | None = None
        self._failed: Problem | None = None
        self._errors: dict[str, str] = {}
        self._ranking = self._given_up = False
        self._situation: Situation | None = None
        self._newest: Newest[Answer] = Newest(deadline_s=DEADLINE_S)

    def compose_body(self) -> ComposeResult:
        """The question, what it changes, the pairs, the command."""
        with VerticalScroll(id="what-if-body", can_focus=False):
            with Container(id="what-if-top"):
                with Container(id="what-if-question") as question:
                    question.border_title = "What if"
                    yield QuestionForm(id="what-if-form", marks=self.marks)
                    with Horizontal(id="what-if-edit"):
                        yield Static(id="what-if-label", markup=False)
                        yield Input(id="what-if-text", compact=True, max_length=60)
                with Container(id="what-if-difference") as difference:
                    difference.border_title = "Gains and losses"
                    yield DifferenceTable(id="what-if-table", marks=self.marks)
            plans = PossiblePlans(id="what-if-plans", marks=self.marks)
            plans.border_title = "Pairs"
            yield plans
            yield SameCommand(id="what-if-command", marks=self.marks)

    def on_mount(self) -> None:
        """What was asked last time."""
        kept = self.planner.remembered.get(_REMEMBERED, dict[str, str]())
        for name, text in kept.items():
            if name in BY_NAME and isinstance(text, str):
                self._question = self._question.having(name, text)
        self._errors = problems(self._question)
        self._draw()

    def status(self, state: State) -> str:
        """Whether an answer is on its way."""
        if state.situation is None:
            return state.status
        if self._ranking:
            return f"ranking {self.marks.ellipsis} esc gives up"
        if self._given_up:
            return "given up: what is shown answers an earlier question" if self._answer else "given up"
        return "this machine, changed" if self._question.described else "this machine with all of its memory"

    def show_state(self, state: State) -> None:
        """A machine that was looked at again is another question."""
        if state.situation is not None and state.situation is not self._situation:
            self._situation = state.situation
            self._ask()
        elif state.situation is None:
            self._failed = state.look_problem
            self._draw()

    def on_resize(self, _event: Resize) -> None:
        """The form's columns and the words beside the figures follow the width."""
        self.call_after_refresh(self._draw)

    # --- asking --------------------------------------------------------------------------------------------------

    def _change(self, question: Question) -> None:
        self._question = question
        self._errors = problems(question)
        self.planner.remember(_REMEMBERED, {name: question.get(name) for name in question.changed} or None)
        self._draw_form()
        self.refresh_bindings()
        if not self._errors:
            self._ask(after_s=_PAUSE_S)

    def _ask(self, *, after_s: float = 0.0) -> None:
        if self._situation is None or self._errors:
            return
        self._ranking, self._given_up = True, False
        self.redraw_status()
        self.run_worker(
            self._answered(self._situation, self._question, after_s), exit_on_error=False, group="what-if"
        )

    async def _answered(self, situation: Situation, question: Question, after_s: float) -> None:
        found = await self._newest.run(partial(self.planner.services.what_if, situation, question), after_s=after_s)
        if found is None:
            return
        self._ranking = False
        self._take(found)
        self.redraw_status()

    def _take(self, found: Answer | Problem) -> None:
        """An answer, or why there is none; what a field is to blame for is said there."""
        if isinstance(found, Problem):
            field = found.reference.removeprefix(FieldError.PREFIX)
            if field != found.reference and field in BY_NAME:
                self._errors = {field: f"{found.message} {found.hint}".strip()}
            else:
                self._failed = found
        else:
            self._answer, self._failed = found, None
        self._draw()
        self.refresh_bindings()

    # --- drawing -------------------------------------------------------------------------------------------------

    def _draw(self) -> None:
        self._draw_form()
        answer = self._answer
        plans = self.query_one(PossiblePlans)
        problem = self._failed or (answer.problem if answer is not None else None)
        shown = answer.plans if answer is not None and self._failed is None else ()
        if (shown, problem) != (plans.plans, plans.problem):
            plans.show(shown, problem)
        command = self.query_one(SameCommand)
        command.commands = answer.commands if answer is not None else ()
        command.redraw()
        self._draw_difference(plans.selected)

    def _draw_form(self) -> None:
        hardware = self._situation.hardware if self._situation is not None else None
        if self._answer is not None and not self._ranking:
            hardware = self._answer.hardware
        form = self.query_one(QuestionForm)
        form.editing = self._editing is not None
        form.columns = 1 if self.has_class("-wide") else 2
        form.show(self._question, self._errors, hardware)

    def _draw_difference(self, plan: Recommendation | None) -> None:
        table, answer = self.query_one(DifferenceTable), self._answer
        in_words = self.has_class("-wide")
        if answer is None or plan is None:
            table.show(None, self._without(answer), in_words=False)
        elif answer.best_here is None:
            text = f"This machine runs no pair; this one would run {plan_name(plan)}."
            table.show(None, Content(text), in_words=False)
        else:
            found = compare_plans(answer.best_here, plan, same_weights=not answer.question.prefer)
            table.show(found, Content(""), in_words=in_words)

    def _without(self, answer: Answer | None) -> Content:
        if answer is None and self._failed is None:
            return Content.styled(f"looking at this machine {self.marks.ellipsis}", MUTED)
        if answer is not None and answer.best_here is not None:
            return Content.styled(f"This machine's best is {plan_name(answer.best_here)}.", MUTED)
        return Content("")

    @on(PlanList.Highlighted)
    def _highlighted(self, event: PlanList.Highlighted) -> None:
        event.stop()
        self._draw_difference(event.plan)
        self.refresh_bindings()

    @on(PlanList.Chosen)
    def _chosen(self, event: PlanList.Chosen) -> None:
        event.stop()
        if self._launchable:
            self.planner.launch(event.plan)
        elif event.plan.generation is not None:
            self.planner.open_model(event.plan.generation.model.id)

    # --- the form ------------------------------------------------------------------------------------------------

    @on(QuestionForm.Changed)
    def _form_changed(self, event: QuestionForm.Changed) -> None:
        event.stop()
        self._change(event.question)

    @on(QuestionForm.Edit)
    def _form_edit(self, event: QuestionForm.Edit) -> None:
        event.stop()
        if event.field.name == "gpu":
            self.action_gpu()
            return
        self._editing, self._before_edit = event.field.name, self._question
        self.query_one("#what-if-label", Static).update(f"{event.field.title}: ")
        self.query_one("#what-if-edit").display = True
        text = self.query_one(Input)
        text.placeholder = event.field.hint
        with text.prevent(Input.Changed):
            text.value = self._question.get(event.field.name)
        text.focus()
        self._draw_form()

    @on(Input.Changed, "#what-if-text")
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        if self._editing is not None:
            self._change(self._question.having(self._editing, event.value))

    @on(Input.Submitted, "#what-if-text")
    def _typed_all(self, event: Input.Submitted) -> None:
        event.stop()
        self._end_editing()

    @on(Input.Blurred, "#what-if-text")
    def _typed_elsewhere(self, event: Input.Blurred) -> None:
        event.stop()
        self._end_editing(focus=False)

    def _end_editing(self, *, focus: bool = True) -> None:
        if self._editing is None:
            return
        self._editing = None
        if focus:
            self.query_one(QuestionForm).focus()
        self.query_one("#what-if-edit").display = False
        self._draw_form()

    def key_escape(self) -> None:
        """While a value is typed: as it was before."""
        if self._editing is not None:
            before = self._before_edit
            self._end_editing()
            self._change(before)

    # --- keys ----------------------------------------------------------------------------------------------------

    @property
    def _launchable(self) -> bool:
        """Whether what is shown was planned for this machine, whatever the fields ask by now."""
        return self._answer is not None and not self._answer.question.described and self._failed is None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that have nothing to act on are not offered."""
        answer = self._answer
        match action:
            case "give_up":
                return self._ranking and self._editing is None
            case "reset":
                return bool(self._question.changed)
            case "copy":
                return answer is not None
            case "launch":
                return answer is not None and bool(answer.plans) and self._launchable
            case "model":
                return answer is not None and bool(answer.plans)
            case _:
                return super().check_action(action, parameters)

    def action_reset(self) -> None:
        """Leave everything as it is."""
        self._end_editing()
        self._change(Question())

    def action_give_up(self) -> None:
        """Wait no longer for the answer; the next change asks anew."""
        self._newest.drop()
        self._ranking, self._given_up = False, True
        if self._answer is None:
            self._failed = GIVEN_UP
        self._draw()
        self.redraw_status()

    def action_gpu(self) -> None:
        """A list of all devices, once it is read."""
        if self._situation is not None:
            self.run_worker(self._pick_gpu(self._situation), exit_on_error=False, group="gpus", exclusive=True)

    async def _pick_gpu(self, situation: Situation) -> None:
        from planner.tui.workers import in_background

        names = await in_background(partial(self.planner.services.gpu_names, situation))
        choices = () if isinstance(names, Problem) else tuple(Line(name, name, facts) for name, facts in names)

        def picked(name: str | None) -> None:
            if name is not None:
                self.query_one(QuestionForm).selected = FIELDS.index(BY_NAME["gpu"])
                # A card brings its memory; what was said of another card's is no longer meant.
                self._change(self._question.having("gpu", name).having("vram", AS_IT_IS))

        title = "Which GPU?  2x before a name means two of them"
        self.app.push_screen(
            Pick(title, choices, free="as typed:", typed=self._question.gpu, marks=self.marks), picked
        )

    def action_copy(self) -> None:
        """The commands, to the clipboard of the terminal."""
        if self._answer is not None:
            self.app.copy_to_clipboard("\n".join(self._answer.commands) + "\n")
            self.notify("Copied the command, if this terminal lets programs copy.")

    def action_launch(self) -> None:
        """Launch the chosen pair."""
        plan = self.query_one(PossiblePlans).selected
        if plan is not None and self._launchable:
            self.planner.launch(plan)

    def action_model(self) -> None:
        """The page of the chosen pair's generator."""
        plan = self.query_one(PossiblePlans).selected
        choice = None if plan is None else plan.generation or plan.embedding
        if choice is not None:
            self.planner.open_model(choice.model.id)
