//! A station goes through its states, whatever happens around it.

mod common;

use common::part::{Part, Tear};
use common::{expected, sample, Toy, INPUT};
use embedded_hal::digital::{self, ErrorKind, InputPin, OutputPin};
use embedded_hal::spi::{self, Operation, SpiDevice};
use offshoot_firmware::guard::{Admission, Due, Guards, Keeper};
use offshoot_firmware::station::hal::{Buttons, Lamp, Registers, SpiRegisters};
use offshoot_firmware::station::{
    Clock, Event, Indicator, Label, LabelSource, Rules, SampleSource, SourceError, State, Station,
    Stored, StoredLabels, Surroundings, Trouble,
};
use offshoot_firmware::store::{Store, StoreError};
use offshoot_runtime::guard::{Guard, GuardMemory, Snapshot, Unguarded};
use offshoot_runtime::{Fault, Trainer};
use std::cell::Cell;

const RULES: Rules = Rules { rate: 0.5, keep_every: 4, label_ms: 1_000, rest_ms: 20 };

/// A millisecond passes whenever somebody looks.
#[derive(Default)]
struct Watch(u32);

impl Clock for Watch {
    fn now(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(1);
        self.0
    }
}

/// Notes all states, which must follow one another as they say.
struct Notes(Vec<State>);

impl Indicator for Notes {
    fn show(&mut self, state: State) {
        let last = *self.0.last().unwrap_or(&State::Start);
        assert!(state == State::Rest || last.next().contains(&state), "{last:?} to {state:?}");
        self.0.push(state);
    }
}

/// Memory of a gate, whose rounds are kept in flash or not.
struct Gate<const FLASH: bool>(Vec<i8>);

impl<const FLASH: bool> GuardMemory for Gate<FLASH> {
    const GUARD: Guard = Guard {
        held_out: 5,
        round: 4,
        hold_every: 7,
        snapshot: if FLASH { Snapshot::Flash } else { Snapshot::Sram },
        replay: 3,
        replays: 1,
        ..Guard::NONE
    };

    fn memory(&mut self) -> &mut [i8] {
        &mut self.0
    }
}

fn stored(count: u32) -> (Vec<i8>, Vec<u16>) {
    ((0..count).flat_map(sample).collect(), (0..count).map(|i| i as u16 % 2).collect())
}

/// Polls until so many steps are done, and gives all events.
fn polled(station: &mut Station<'_, Toy>, steps: usize) -> Vec<Event> {
    let (mut events, mut done) = (Vec::new(), 0);
    for _ in 0..100_000 {
        let event = station.poll();
        done += usize::from(matches!(event, Some(Event::Stepped(_))));
        events.extend(event);
        if done == steps && station.state() == State::Collect {
            return events;
        }
    }
    panic!("stuck: {station:?}, {events:?}")
}

/// The state after `steps` steps on the first six samples in turn, without any station.
fn taught(steps: u32) -> Vec<u8> {
    let mut toy = expected(0);
    for i in 0..steps {
        toy.present(&sample(i % 6)).unwrap();
        toy.train(i as u16 % 2, 0.5).unwrap();
    }
    toy.state
}

/// One life of a station, of so many steps: what it started with, and what it ended with.
fn life(flash: &mut Part<4, 1024>, notes: &mut Notes, steps: usize) -> [(u32, Vec<u8>); 2] {
    let (samples, labels) = stored(6);
    let (mut toy, mut memory) = (Toy::new(INPUT), vec![0; INPUT]);
    let mut unguarded = Unguarded;
    let around = Surroundings {
        source: &mut Stored::new(&samples),
        labels: &mut StoredLabels(&labels),
        indicator: notes,
        clock: &mut Watch::default(),
        flash: Some(flash),
    };
    let mut station = Station::new(&mut toy, &mut unguarded, &mut memory, around, RULES);
    let first = station.poll();
    assert!(matches!(first, Some(Event::Started(_))), "{first:?}");
    let state = |station: &Station<'_, Toy>| (station.steps(), station.trainer().state().to_vec());
    let start = state(&station);
    polled(&mut station, steps);
    [start, state(&station)]
}

#[test]
fn learns_what_a_host_would_teach_it_and_goes_on_after_a_loss_of_power() {
    let mut flash: Part<4, 1024> = Part::new(12, 3);
    let mut notes = Notes(Vec::new());
    let [start, end] = life(&mut flash, &mut notes, 11);
    assert_eq!((start, end), ((0, taught(0)), (11, taught(11))));
    // Power fails in the middle of the third checkpoint.
    flash.fuse = Some((200, Tear::Half));
    let mut store = Store::open(&mut flash, 0xA11CE, 1100).unwrap();
    assert_eq!(store.save(&mut flash, &taught(12), 12, false), Err(StoreError::Flash));
    flash.restart();
    notes.0.clear();
    let [start, end] = life(&mut flash, &mut notes, 4);
    assert_eq!((start, end.0), ((8, taught(8)), 12));
    for state in [State::Infer, State::Label, State::Train, State::Evaluate, State::Checkpoint] {
        assert!(notes.0.contains(&state), "{state:?}");
    }
    assert!(!notes.0.contains(&State::Rest));
}

/// Rounds that were kept and taken back, and what became of them.
fn judged<const FLASH: bool>(mut flash: Option<Part<4, 1024>>) -> Result<(u32, u32), Trouble> {
    let (samples, labels) = stored(24);
    let (mut toy, mut memory) = (Toy::new(INPUT), vec![0; INPUT]);
    let bytes = Gate::<FLASH>::GUARD.bytes(toy.header()).total();
    let (mut notes, mut gate) = (Notes(Vec::new()), Gate::<FLASH>(vec![0; bytes]));
    let around = Surroundings {
        source: &mut Stored::new(&samples),
        labels: &mut StoredLabels(&labels),
        indicator: &mut notes,
        clock: &mut Watch::default(),
        flash: flash.as_mut().map(|flash| flash as _),
    };
    let mut station = Station::new(&mut toy, &mut gate, &mut memory, around, RULES);
    let mut good = (0, taught(0));
    let (mut kept, mut taken_back) = (0, 0);
    while kept + taken_back < 40 {
        match station.poll() {
            Some(Event::Judged(verdict)) => {
                let state = (station.steps(), station.trainer().state().to_vec());
                if verdict.kept {
                    (good, kept) = (state, kept + 1);
                } else {
                    assert!(state == good, "{} steps", state.0);
                    taken_back += 1;
                }
            }
            Some(Event::Failed(trouble)) => return Err(trouble),
            _ => {}
        }
    }
    let told = station.watched();
    assert_eq!((told.kept, told.taken_back, told.held_out), (kept, taken_back, 5));
    assert!(told.replayed > 0 && told.replay == 3);
    Ok((kept, taken_back))
}

#[test]
fn a_bad_round_is_undone() {
    let in_sram = judged::<false>(None).unwrap();
    assert!(in_sram.0 > 0 && in_sram.1 > 0, "{in_sram:?}");
    assert_eq!(judged::<true>(Some(Part::new(12, 5))), Ok(in_sram));
    assert_eq!(judged::<false>(Some(Part::new(12, 5))), Ok(in_sram));
    assert_eq!(judged::<true>(None), Err(Trouble::NoFlash));
}

/// A keeper that fails two times in three.
#[derive(Default)]
struct Worn {
    asked: u32,
    state: Vec<u8>,
    steps: u32,
}

impl Worn {
    fn ask(&mut self) -> Result<(), u32> {
        self.asked += 1;
        if self.asked.is_multiple_of(3) {
            Ok(())
        } else {
            Err(self.asked)
        }
    }
}

impl Keeper for Worn {
    type Error = u32;

    fn keep<T: Trainer + ?Sized>(&mut self, trainer: &T, steps: u32) -> Result<(), u32> {
        self.ask()?;
        (self.state, self.steps) = (trainer.state().to_vec(), steps);
        Ok(())
    }

    fn go_back<T: Trainer + ?Sized>(
        &mut self,
        trainer: &mut T,
        steps: &mut u32,
    ) -> Result<(), u32> {
        self.ask()?;
        trainer.state_mut().copy_from_slice(&self.state);
        *steps = self.steps;
        Ok(())
    }
}

#[test]
fn nothing_is_learnt_until_a_round_is_kept_or_undone() {
    let mut toy = expected(0);
    let mut memory = vec![0; Gate::<true>::GUARD.bytes(toy.header()).total()];
    let mut guards = Guards::<Gate<true>>::new(&mut memory, toy.header());
    let (mut keeper, mut steps, mut pending) = (Worn::default(), 0, false);
    let (mut failed, mut ended) = (0, [0, 0]);
    for i in 0..1_000 {
        let label = i as u16 % 2;
        guards.stage(0, sample(i).into_iter());
        if guards.admit(label) == Admission::Train {
            assert!(!pending, "sample {i}");
            toy.present(&sample(i)).unwrap();
            toy.train(label, 0.5).unwrap();
            steps += 1;
            guards.trained(label);
        }
        loop {
            let due = guards.due(&mut toy, &mut steps, &mut keeper);
            pending = due.is_err();
            match due {
                Err(_) => {
                    failed += 1;
                    break;
                }
                Ok(Due::Nothing) => break,
                Ok(Due::Begun) => {}
                Ok(Due::Ended(verdict)) => {
                    ended[usize::from(verdict.kept)] += 1;
                    assert_eq!(steps, keeper.steps);
                    assert!(toy.state == keeper.state);
                }
                Ok(Due::Train { at, label }) => {
                    toy.present(guards.sample(at)).unwrap();
                    toy.train(label, 0.5).unwrap();
                    steps += 1;
                }
                Ok(Due::Infer { at }) => {
                    toy.present(guards.sample(at)).unwrap();
                    guards.answered(toy.infer().unwrap());
                }
            }
        }
    }
    assert!(failed > 100 && ended[0] > 10 && ended[1] > 10, "{failed}, {ended:?}");
}

/// Fails, gives a few values at a time, or none.
struct Moody(u32);

impl SampleSource for Moody {
    fn fill(&mut self, rest: &mut [i8]) -> Result<usize, SourceError> {
        self.0 += 1;
        if self.0.is_multiple_of(37) {
            return Err(SourceError::Lost);
        }
        let count = (self.0 as usize * 13 % 90).min(rest.len());
        rest[..count].fill(self.0 as i8);
        Ok(count)
    }
}

/// Knows every label but for some, says nothing about others, and is wrong now and then.
struct Unsure;

impl LabelSource for Unsure {
    fn label(&mut self, sample: u32) -> Result<Label, SourceError> {
        match sample % 6 {
            0 => Ok(Label::Pending),
            1 => Ok(Label::Unknown),
            2 => Err(SourceError::Bus),
            // No class.
            3 => Ok(Label::Class(5)),
            _ => Ok(Label::Class(1)),
        }
    }
}

#[test]
fn goes_on_whatever_goes_wrong() {
    let (mut toy, mut memory) = (Toy::new(INPUT), vec![0; INPUT]);
    let (mut unguarded, mut notes) = (Unguarded, Notes(Vec::new()));
    // Power fails in every checkpoint but the first few.
    let mut flash: Part<4, 1024> = Part::new(12, 7);
    flash.fuse = Some((2_000, Tear::Garbage));
    let around = Surroundings {
        source: &mut Moody(0),
        labels: &mut Unsure,
        indicator: &mut notes,
        clock: &mut Watch::default(),
        flash: Some(&mut flash),
    };
    let mut station = Station::new(&mut toy, &mut unguarded, &mut memory, around, RULES);
    let events = polled(&mut station, 40);
    for trouble in [
        Trouble::Source(SourceError::Lost),
        Trouble::Label(SourceError::Bus),
        Trouble::Program(Fault::Label),
        Trouble::Store(StoreError::Flash),
    ] {
        assert!(events.contains(&Event::Failed(trouble)), "{trouble:?}");
        assert!(trouble.to_string().len() > 10);
    }
    assert!(events.iter().any(|event| matches!(event, Event::Kept(_))));
    assert_eq!(station.steps(), 40);
    assert_eq!(toy.steps, 40);
    assert!(notes.0.contains(&State::Rest));
}

/// What a station says, again and again, whose memory for a sample has so many values.
fn refused(memory: usize, rules: Rules, trouble: Trouble) {
    let (mut toy, mut memory) = (Toy::new(INPUT), vec![0; memory]);
    let mut unguarded = Unguarded;
    let around = Surroundings {
        source: &mut Stored::new(&[]),
        labels: &mut StoredLabels(&[]),
        indicator: &mut (),
        clock: &mut Watch::default(),
        flash: None,
    };
    let mut station = Station::new(&mut toy, &mut unguarded, &mut memory, around, rules);
    for _ in 0..3 {
        assert_eq!(station.poll(), Some(Event::Failed(trouble)));
        while station.state() == State::Rest {
            assert_eq!(station.poll(), None);
        }
        assert_eq!(station.state(), State::Start);
    }
}

#[test]
fn what_cannot_work_is_told_for_ever() {
    refused(INPUT - 1, RULES, Trouble::Memory(INPUT));
    refused(INPUT, Rules { rate: f32::NAN, ..RULES }, Trouble::Rate);
    refused(INPUT, Rules { rate: -0.1, ..RULES }, Trouble::Rate);
    assert_eq!(Stored::new(&[]).fill(&mut [0]), Err(SourceError::Empty));
    assert_eq!(StoredLabels(&[]).label(3), Err(SourceError::Empty));
}

/// A pin whose level others set.
struct Pin<'c>(&'c Cell<bool>);

#[derive(Debug)]
struct NoPin;

impl digital::Error for NoPin {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

impl digital::ErrorType for Pin<'_> {
    type Error = NoPin;
}

impl InputPin for Pin<'_> {
    fn is_high(&mut self) -> Result<bool, NoPin> {
        Ok(self.0.get())
    }

    fn is_low(&mut self) -> Result<bool, NoPin> {
        Ok(!self.0.get())
    }
}

impl OutputPin for Pin<'_> {
    fn set_low(&mut self) -> Result<(), NoPin> {
        self.0.set(false);
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), NoPin> {
        self.0.set(true);
        Ok(())
    }
}

#[test]
fn a_button_counts_once_it_was_released() {
    let pins = [Cell::new(true), Cell::new(false)];
    let mut buttons = Buttons::new([Pin(&pins[0]), Pin(&pins[1])], true);
    // The second is held down from before.
    assert_eq!(buttons.label(0), Ok(Label::Pending));
    pins[1].set(true);
    assert_eq!(buttons.label(0), Ok(Label::Pending));
    pins[1].set(false);
    assert_eq!(buttons.label(0), Ok(Label::Class(1)));
    assert_eq!(buttons.label(1), Ok(Label::Pending));
    pins[0].set(false);
    assert_eq!(buttons.label(1), Ok(Label::Class(0)));

    let light = Cell::new(false);
    let mut lamp = Lamp::new(Pin(&light), &[State::Label]);
    lamp.show(State::Label);
    assert!(light.get());
    lamp.show(State::Train);
    assert!(!light.get());
}

/// A part on SPI with 64 registers.
struct Part64([u8; 64]);

impl spi::ErrorType for Part64 {
    type Error = core::convert::Infallible;
}

impl SpiDevice for Part64 {
    fn transaction(
        &mut self,
        operations: &mut [Operation<'_, u8>],
    ) -> Result<(), core::convert::Infallible> {
        let mut at = None;
        for operation in operations {
            match operation {
                Operation::Write([command, rest @ ..]) => {
                    let first = usize::from(command & 0x3F);
                    self.0[first..][..rest.len()].copy_from_slice(rest);
                    at = (command & 0x80 != 0).then_some((first, command & 0x40 != 0));
                }
                Operation::Read(bytes) => {
                    let (first, several) = at.expect("a command that reads");
                    for (i, byte) in bytes.iter_mut().enumerate() {
                        *byte = self.0[first + if several { i } else { 0 }];
                    }
                }
                _ => panic!("not asked for"),
            }
        }
        Ok(())
    }
}

#[test]
fn registers_are_read_over_spi() {
    let mut part = SpiRegisters {
        device: Part64(std::array::from_fn(|i| i as u8)),
        read: 0x80,
        several: 0x40,
    };
    assert_eq!(part.register(7), Ok(7));
    part.write(7, 99).unwrap();
    let mut bytes = [0; 3];
    part.read(6, &mut bytes).unwrap();
    assert_eq!(bytes, [6, 99, 8]);
}
