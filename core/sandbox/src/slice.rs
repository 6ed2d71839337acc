//! Runs one slice: gets an instance, calls the export that the work is for, and says what became of it.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use rapport_model::Limits;
use wasmtime::component::{ComponentExportIndex, ComponentNamedList, Lift, Lower};

use crate::error::{GuestFailure, SandboxError, SliceReport};
use crate::guest::{self, Budget, Guest, Handle, Living};
use crate::host::{Allowance, Host};
use crate::sandbox::{Program, ProgramBody, Sandbox, Script};
use crate::wire::calls::{InRefusal, InResponse, OutCall, OutChange, OutRequest, OutStep, OutUndone};
use crate::wire::{InError, OutEvent};
use crate::work::{FunctionCall, Output, ProposedChange, Work};

/// What an export answers: its output, or that it failed.
type Answered = Result<Output, InError>;

/// An instance that is called once, with what it is called through.
struct Called<'a> {
    guest: &'a Guest,
    living: &'a mut Living,
    budget: Budget,
}

/// What one call may use.
struct Terms {
    limits: Arc<Limits>,
    budget: Budget,
}

impl Terms {
    /// A slice of its own.
    fn of_slice(limits: &Arc<Limits>) -> Self {
        Self { limits: Arc::clone(limits), budget: Budget::of_slice(limits) }
    }

    /// What another slice leaves.
    fn of_allowance(limits: &Limits, left: Allowance) -> Self {
        let Allowance { fuel, host_calls, deadline } = left;
        let limits = Limits { slice_fuel_max: fuel, slice_host_calls_max: host_calls, ..limits.clone() };
        Self { limits: Arc::new(limits), budget: Budget { fuel, deadline } }
    }
}

impl Sandbox {
    /// Runs one slice of `program`: calls it with `work`, and gives the host back with what became of it.
    ///
    /// Waits for a free instance first; that wait does not count. If the returned future is dropped, the slice ends where it
    /// stands and its host is dropped with it.
    ///
    /// # Panics
    /// Only if the host panics.
    pub fn call<H: Host>(
        &self,
        program: &Program,
        work: impl Into<Work>,
        host: H,
    ) -> impl Future<Output = (SliceReport, H)> + Send {
        let (work, host): (Work, Box<dyn Host>) = (work.into(), Box::new(host));
        async move {
            let _permit = self.permit().await;
            let (report, host) = self.call_permitted(program, work, host).await;
            (report, given_back(host))
        }
    }

    /// As [`Sandbox::call`], for what a slice waits for that has an instance itself: it waits for no place that such a slice holds.
    /// What is called so calls nothing so in turn.
    ///
    /// # Panics
    /// Only if the host panics.
    pub fn call_beside<H: Host>(
        &self,
        program: &Program,
        work: impl Into<Work>,
        host: H,
    ) -> impl Future<Output = (SliceReport, H)> + Send {
        let (work, host): (Work, Box<dyn Host>) = (work.into(), Box::new(host));
        async move {
            let _permit = self.shared().beside_permit().await;
            let (report, host) = self.call_permitted(program, work, host).await;
            (report, given_back(host))
        }
    }

    /// Calls a function of a script for a slice that has an instance itself, within what that one has left.
    ///
    /// It waits for no place that a slice holds, or one that is called beside it. Such a function calls nothing so in turn.
    ///
    /// # Panics
    /// Only if the host panics.
    pub async fn call_function<H: Host>(
        &self,
        program: &Program,
        call: FunctionCall,
        (host, left): (H, Allowance),
    ) -> (SliceReport, H) {
        let _permit = self.shared().function_permit().await;
        let terms = Terms::of_allowance(self.limits(), left);
        let (report, host) = self.call_dyn(program, Work::Function(call), (Box::new(host), terms)).await;
        (report, given_back(host))
    }

    /// Has `program` look at a change that is about to be made, under the smaller limits of that.
    ///
    /// Whoever asks holds no instance; it waits for none that a slice holds.
    ///
    /// # Panics
    /// Only if the host panics.
    pub async fn judge<H: Host>(&self, program: &Program, change: ProposedChange, host: H) -> (SliceReport, H) {
        let _permit = self.shared().beside_permit().await;
        let judging = self.shared().judging();
        let lowered = program.bounds().map(|bounds| Arc::new(bounds.budgets.within(judging)));
        let terms = Terms::of_slice(lowered.as_ref().unwrap_or(judging));
        let (report, host) = self.call_dyn(program, Work::Validate(change), (Box::new(host), terms)).await;
        (report, given_back(host))
    }

    async fn call_permitted(&self, program: &Program, work: Work, host: Box<dyn Host>) -> (SliceReport, Box<dyn Host>) {
        let bounds = program.bounds();
        let terms = Terms::of_slice(bounds.map_or_else(|| self.shared_limits(), |bounds| &bounds.limits));
        let (mut report, host) = self.call_dyn(program, work, (host, terms)).await;
        if let (Some(bounds), Err(failure)) = (bounds, &mut report.outcome) {
            failure.name_budget(&bounds.budgets);
        }
        (report, host)
    }

    async fn call_dyn(
        &self,
        program: &Program,
        work: Work,
        (host, terms): (Box<dyn Host>, Terms),
    ) -> (SliceReport, Box<dyn Host>) {
        let _ticking = self.shared().runtime.ticking();
        let started = Instant::now();
        let (mut report, host) = match program.body() {
            ProgramBody::Script(script) => self.call_script(script, work, (host, terms)).await,
            ProgramBody::Component(guest) => self.call_component(guest, work, (host, terms)).await,
        };
        report.micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        (report, host)
    }

    async fn call_script(
        &self,
        script: &Script,
        work: Work,
        (host, terms): (Box<dyn Host>, Terms),
    ) -> (SliceReport, Box<dyn Host>) {
        let interpreter = match self.interpreter().await {
            Ok(interpreter) => interpreter,
            Err(error) => return (failed(unready(error)), host),
        };
        let mut warm = match self.warm(script).await {
            Ok(warm) => warm,
            Err(error) => return (failed(unready(error)), host),
        };
        let Terms { limits, budget } = terms;
        warm.living.store.data_mut().begin(host, limits, budget.deadline);
        budget.give(&mut warm.living.store);
        let called = Called { guest: &interpreter.guest, living: &mut warm.living, budget };
        let (report, host, whole) = self.slice(called, work).await;
        if whole {
            warm.calls += 1;
            self.shared().pool.put(script.number, warm);
        }
        (report, host)
    }

    async fn call_component(
        &self,
        guest: &Guest,
        work: Work,
        (host, terms): (Box<dyn Host>, Terms),
    ) -> (SliceReport, Box<dyn Host>) {
        let Terms { limits, budget } = terms;
        match guest.instantiate(Some((host, limits)), budget).await {
            Ok(mut living) => {
                let (report, host, _) = self.slice(Called { guest, living: &mut living, budget }, work).await;
                (report, host)
            }
            Err(mut unborn) => {
                let (host, used, _) = unborn.store.data_mut().finish();
                let mut report = failed(unborn.failure);
                report.fuel = budget.used(&unborn.store);
                report.host_calls = used.host_calls;
                (report, host.expect("the host was put into this store"))
            }
        }
    }

    /// Calls the export. The last of the results says whether the instance is whole and can be used again.
    async fn slice(&self, called: Called<'_>, work: Work) -> (SliceReport, Box<dyn Host>, bool) {
        let Called { guest, living, budget } = called;
        let wall_ms_max = living.store.data().limits().slice_wall_ms_max;
        let result = guest::within((budget.deadline, wall_ms_max), perform(guest, living, work)).await;
        let fuel = budget.used(&living.store);
        let (host, used, ended) = living.store.data_mut().finish();
        let whole = result.is_ok();
        let mut output = Output::Done;
        let outcome = match (ended, result) {
            (Some(e), _) => {
                Err(GuestFailure::Ended { code: e.code.into(), message: e.message, retryable: e.retryable })
            }
            (None, Ok(Ok(answer))) => {
                output = answer;
                Ok(())
            }
            (None, Ok(Err(InError { code, message, retryable }))) => {
                Err(GuestFailure::Failed { code, message, retryable })
            }
            (None, Err(error)) => Err(guest::diagnose(&error, &living.store)),
        };
        let memory_bytes = living.store.data().memory_bytes();
        let report = SliceReport { fuel, micros: 0, memory_bytes, host_calls: used.host_calls, outcome, output };
        (report, host.expect("the slice began with a host"), whole)
    }
}

/// The host that a call was given, which it gives back.
fn given_back<H: Host>(host: Box<dyn Host>) -> H {
    let host: Box<dyn Any> = host;
    *host.downcast::<H>().expect("a slice gives back the host that it was given")
}

/// Calls the export that `work` is for.
async fn perform(guest: &Guest, living: &mut Living, work: Work) -> wasmtime::Result<Answered> {
    if let Some(handle) = living.handle {
        return interpret(guest, handle, living, work).await;
    }
    let Some((role, index)) = work.role().and_then(|role| Some((role, guest.role(role)?))) else {
        return Ok(Err(lacking("the component has no export for this")));
    };
    debug_assert_eq!(Some(role), work.role());
    match work {
        Work::Event(event) | Work::Schedule(event) => {
            let event = OutEvent::from(event);
            let bytes = event.bytes();
            done(enter(living, index, bytes, (event,)).await)
        }
        Work::Action(call) => {
            let call = OutCall::from(call);
            let bytes = call.bytes();
            let (answer,) = enter::<_, (Result<String, InError>,)>(living, index, bytes, (call,)).await?;
            json(living, answer)
        }
        Work::Request(request) => {
            let request = OutRequest::from(request);
            let bytes = request.bytes();
            let (answer,) = enter::<_, (Result<InResponse, InError>,)>(living, index, bytes, (request,)).await?;
            let Ok(response) = answer else { return Ok(answer.map(|_| Output::Done)) };
            taken(living, response.bytes())?;
            Ok(Ok(Output::Response(response.into())))
        }
        Work::Validate(change) => {
            let change = OutChange::from(change);
            let bytes = change.bytes();
            let (judged,) = enter::<_, (Result<(), InRefusal>,)>(living, index, bytes, (change,)).await?;
            Ok(Ok(judged.err().map_or(Output::Done, |refusal| Output::Refused(refusal.into()))))
        }
        Work::Compensate(undone) => {
            let undone = OutUndone::from(undone);
            let bytes = undone.bytes();
            done(enter(living, index, bytes, (undone,)).await)
        }
        Work::Migrate(step) => {
            let step = OutStep::from(step);
            let bytes = step.bytes();
            let (next,) = enter::<_, (Result<Option<String>, InError>,)>(living, index, bytes, (step,)).await?;
            Ok(next.map(|next| next.map_or(Output::Done, Output::Cursor)))
        }
        Work::Function(_) => Ok(Err(lacking("only scripts have functions to call"))),
    }
}

/// Calls the script that the instance of the interpreter has loaded.
async fn interpret(guest: &Guest, handle: Handle, living: &mut Living, work: Work) -> wasmtime::Result<Answered> {
    match work {
        Work::Event(event) | Work::Schedule(event) => {
            let event = OutEvent::from(event);
            living.store.data_mut().give(event.bytes()).map_err(wasmtime::Error::new)?;
            done(handle.call_async(&mut living.store, (event,)).await)
        }
        Work::Function(call) => {
            let Ok(index) = guest.export("run-function") else {
                return Ok(Err(lacking("this interpreter calls no functions")));
            };
            let bytes = call.function.len() + call.arguments.len();
            let params = (call.function, call.arguments);
            let (answer,) = enter::<_, (Result<String, InError>,)>(living, index, bytes, params).await?;
            json(living, answer)
        }
        _ => Ok(Err(lacking("a script handles events"))),
    }
}

async fn enter<P, R>(living: &mut Living, index: ComponentExportIndex, bytes: usize, params: P) -> wasmtime::Result<R>
where
    P: ComponentNamedList + Lower + Send + Sync + 'static,
    R: ComponentNamedList + Lift + Send + Sync + 'static,
{
    living.store.data_mut().give(bytes).map_err(wasmtime::Error::new)?;
    let function = living.instance.get_typed_func::<P, R>(&mut living.store, index)?;
    function.call_async(&mut living.store, params).await
}

fn done(called: wasmtime::Result<(Result<(), InError>,)>) -> wasmtime::Result<Answered> {
    called.map(|(answer,)| answer.map(|()| Output::Done))
}

fn json(living: &mut Living, answer: Result<String, InError>) -> wasmtime::Result<Answered> {
    let Ok(json) = answer else { return Ok(answer.map(Output::Json)) };
    taken(living, json.len())?;
    Ok(Ok(Output::Json(json)))
}

/// Counts what a guest answers as output.
fn taken(living: &mut Living, bytes: usize) -> wasmtime::Result<()> {
    let max = living.store.data().limits().slice_output_bytes_max;
    living.store.data_mut().take(bytes).map_err(|_| wasmtime::Error::new(GuestFailure::Output { max }))
}

fn lacking(message: &str) -> InError {
    InError { code: "unsupported".into(), message: message.into(), retryable: false }
}

fn failed(failure: GuestFailure) -> SliceReport {
    SliceReport { fuel: 0, micros: 0, memory_bytes: 0, host_calls: 0, outcome: Err(failure), output: Output::Done }
}

/// A script that was ready once and could not be made ready again.
fn unready(error: SandboxError) -> GuestFailure {
    match error {
        SandboxError::Guest(failure) => failure,
        other => GuestFailure::Failed { code: "unavailable".into(), message: other.to_string(), retryable: true },
    }
}
