//! State that comes from elsewhere than training: a checkpoint, or the host.

use super::device::Device;
use crate::board::Board;
use crate::guard::Keeper;
use crate::link::{Answer, Refusal};
use crate::store::{Checkpoint, Store, StoreError, Wear};
use offshoot_runtime::guard::GuardMemory;
use offshoot_runtime::Trainer;

/// Where state is kept and comes from.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// What is known of the flash for checkpoints, or why there are none in it; `None` without flash.
    store: Option<Result<Store, StoreError>>,
    /// Number of the checkpoint that state came from.
    pub restored: Option<u64>,
    /// State that is being sent.
    pub import: Option<Import>,
}

/// State that is being sent, of which `filled` bytes have come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Import {
    state_hash: u64,
    steps: u32,
    filled: usize,
}

impl Kept {
    /// Puts the newest checkpoint's state in place, or first content where reading it has spoiled what was
    /// there.
    fn load<T, B>(&self, board: &mut B, trainer: &mut T) -> Result<Checkpoint, Lost>
    where
        T: Trainer + ?Sized,
        B: Board,
    {
        let left = |refusal| Lost { refusal, state: false };
        let storage = board.flash().ok_or(left(Refusal::NoFlash))?;
        let store = self.store.as_ref().ok_or(left(Refusal::NoFlash))?;
        let store = store.as_ref().map_err(|&error| left(Refusal::Store(error)))?;
        store.load(storage.flash, trainer.state_mut()).map_err(|error| {
            let state = !matches!(error, StoreError::Empty | StoreError::Foreign(_));
            let reset = if state { trainer.reset() } else { Ok(()) };
            let refusal = reset.map_or_else(Refusal::Fault, |()| Refusal::Store(error));
            Lost { refusal, state }
        })
    }

    fn save<T, B>(
        &mut self,
        board: &mut B,
        trainer: &T,
        steps: u32,
        overwrite: bool,
    ) -> Result<Checkpoint, Refusal>
    where
        T: Trainer + ?Sized,
        B: Board,
    {
        let storage = board.flash().ok_or(Refusal::NoFlash)?;
        let store = self.store.as_mut().ok_or(Refusal::NoFlash)?;
        let store = store.as_mut().map_err(|error| Refusal::Store(*error))?;
        let saved = store.save(storage.flash, trainer.state(), steps, overwrite);
        let checkpoint = saved.map_err(Refusal::Store)?;
        log!(info, "checkpoint {=u64}", checkpoint.sequence);
        Ok(checkpoint)
    }
}

/// No checkpoint was loaded, and whether the state that was there is lost.
struct Lost {
    refusal: Refusal,
    state: bool,
}

/// The checkpoints as what a gate goes back to.
pub(super) struct Flash<'d, B> {
    pub(super) board: &'d mut B,
    pub(super) kept: &'d mut Kept,
}

impl<B: Board> Keeper for Flash<'_, B> {
    type Error = Refusal;

    fn keep<T: Trainer + ?Sized>(&mut self, trainer: &T, steps: u32) -> Result<(), Refusal> {
        self.kept.save(self.board, trainer, steps, false).map(drop)
    }

    fn go_back<T: Trainer + ?Sized>(
        &mut self,
        trainer: &mut T,
        steps: &mut u32,
    ) -> Result<(), Refusal> {
        let loaded = self.kept.load(self.board, trainer);
        match loaded {
            Ok(checkpoint) => *steps = checkpoint.steps,
            Err(Lost { state: true, .. }) => (self.kept.restored, *steps) = (None, 0),
            Err(Lost { state: false, .. }) => {}
        }
        loaded.map(drop).map_err(|lost| lost.refusal)
    }
}

impl<T: Trainer + ?Sized, B: Board, G: GuardMemory> Device<'_, T, B, G> {
    /// Looks for checkpoints, and goes on from the newest where there is one.
    pub(super) fn start(&mut self) {
        let (model, length) = (self.trainer.header().model_hash, self.trainer.state().len());
        let storage = self.board.flash();
        self.kept.store = storage.map(|storage| Store::open(storage.flash, model, length));
        self.open_bank();
        if let Ok(_checkpoint) = self.load() {
            log!(info, "goes on from checkpoint {=u64}", _checkpoint.sequence);
        }
    }

    /// Puts state back to its first content.
    pub(super) fn reset(&mut self) -> Result<(), Refusal> {
        self.came_from(None, 0);
        self.bank_replaced(true);
        self.trainer.reset().map_err(Refusal::Fault)
    }

    /// Notes where state comes from that is not trained from what it was: nothing that has begun with
    /// the old one goes on.
    pub(super) fn came_from(&mut self, restored: Option<u64>, steps: u32) {
        (self.kept.restored, self.kept.import) = (restored, None);
        (self.stats.steps, self.filled) = (steps, 0);
        self.guards.replaced();
    }

    fn load(&mut self) -> Result<Checkpoint, Refusal> {
        let loaded = self.kept.load(&mut self.board, self.trainer);
        match loaded {
            Ok(checkpoint) => {
                self.came_from(Some(checkpoint.sequence), checkpoint.steps);
                self.bank_replaced(false);
            }
            Err(Lost { state: true, .. }) => {
                self.came_from(None, 0);
                self.bank_replaced(true);
            }
            Err(Lost { state: false, .. }) => {}
        }
        loaded.map_err(|lost| lost.refusal)
    }

    /// Goes back to the newest checkpoint.
    pub(super) fn restore(&mut self) -> Result<Answer<'static>, Refusal> {
        let Checkpoint { sequence, steps } = self.load()?;
        Ok(Answer::Checkpoint { sequence, steps })
    }

    /// Keeps state in flash.
    pub(super) fn checkpoint(&mut self, overwrite: bool) -> Result<Answer<'static>, Refusal> {
        let steps = self.stats.steps;
        let saved = self.kept.save(&mut self.board, &*self.trainer, steps, overwrite)?;
        Ok(Answer::Checkpoint { sequence: saved.sequence, steps })
    }

    /// How the flash for checkpoints fares.
    pub(super) fn wear(&mut self) -> Option<Wear> {
        let endurance = self.board.flash()?.endurance;
        Some(self.kept.store.as_ref()?.as_ref().ok()?.wear(endurance))
    }

    /// Begins to take state from the host.
    pub(super) fn begin_import(
        &mut self,
        model_hash: u64,
        state_hash: u64,
        steps: u32,
    ) -> Result<(), Refusal> {
        let own = self.trainer.header().model_hash;
        if model_hash != own {
            return Err(Refusal::OtherModel(own));
        }
        self.kept.import = Some(Import { state_hash, steps, filled: 0 });
        self.import(0, &[])
    }

    /// Takes the next part of it.
    pub(super) fn import(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Refusal> {
        let import = self.kept.import.as_mut().ok_or(Refusal::Range)?;
        let state = self.trainer.state_mut();
        let start = Some(offset as usize).filter(|&offset| offset == import.filled);
        let end = start.and_then(|start| start.checked_add(bytes.len())).ok_or(Refusal::Range)?;
        let place = state.get_mut(import.filled..end).ok_or(Refusal::Range)?;
        place.copy_from_slice(bytes);
        import.filled = end;
        if end < state.len() {
            return Ok(());
        }
        let Import { state_hash, steps, .. } = *import;
        if self.state_hash() != state_hash {
            self.reset()?;
            self.start();
            return Err(Refusal::State);
        }
        self.came_from(None, steps);
        self.bank_replaced(false);
        Ok(())
    }
}
